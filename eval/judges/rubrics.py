"""The five questions that a judge answers about a caption: data (`rubrics.json`), in our own words, with a fingerprint.

They follow the five metrics of the Video-ChatGPT benchmark. Each is graded 0 to 5; the mean x 20 is reported.
Paper: Sec. 4.2, Table 3.
Assumption: the paper does not print its prompts, and its judge moves with every word; so the hash of these texts goes
into every judgement, and runs with different hashes are not to be compared.

A rubrics file is one JSON object. Another one, which repeats somebody's exact prompts, may hold:

- `metrics` (required): by name; each with `fields` and `criterion`, which makes the criterion followed by the texts
  between tags; or with `prompt`, the whole message, in which {Q}, {A}, {pred} (or {Q1}, {Q2}, {A}, {pred1}, {pred2})
  stand for the texts. A metric may have a `system` of its own.
- `system`: the system message of all metrics; left out, there is none. `again`: what is said after an unreadable reply.
- `schema`: the JSON schema of a reply, null for none; left out, `scales` (ours, unless given) has one for each choice
  of `--scores`, and the words that {scale} stands for, everywhere.

In place of a file, a clone of Video-ChatGPT's code gives its published prompts (`eval.judges.published_rubrics`).

A word in braces that stands for nothing is a mistake; with a blank, as in { word }, it is said as it is.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from eval.judges.published_rubrics import NAME, NOT_SHIPPED, read_published
from eval.metrics import FIELDS, METRICS
from ski_lvlm.servers.client import Message
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.json_files import read_json

Scores = Literal["integer", "decimal"]
OWN_FILE: Final = Path(__file__).with_name("rubrics.json")
_EXAMPLE = f"name a rubrics file, {OWN_FILE} is an example"
_TAGS = {
    "Q": "question",
    "Q1": "first_question",
    "Q2": "second_question",
    "A": "reference",
    "pred": "prediction",
    "pred1": "first_prediction",
    "pred2": "second_prediction",
}
_PLACE = re.compile(r"\{(" + "|".join(_TAGS) + r")\}")
_WORD = re.compile(r"\{([^\W\d]\w*)\}")
_KEYS = {"system", "again", "scales", "schema", "metrics"}


class RubricsError(ValueError):
    """A rubrics file is missing, or is not what the head of this module says."""


@dataclass(frozen=True)
class Rubric:
    """One metric: which texts of a record the judge sees, and the messages, with places such as {A} for the texts."""

    metric: str
    fields: tuple[str, ...]
    prompt: str
    system: str = ""


@dataclass(frozen=True)
class Rubrics:
    """All that shapes what a judge is told: the metrics, the schema of a reply, the words after an unreadable one."""

    metrics: tuple[Rubric, ...]
    schema: dict[str, Any] | None
    again: str

    @cached_property
    def digest(self) -> str:
        """Fingerprint of everything in it; grades with different ones are not to be compared."""
        return digest(json.dumps(asdict(self), sort_keys=True))

    def of(self, metric: str) -> Rubric | None:
        """The rubric of a metric; None if these have none."""
        return next((rubric for rubric in self.metrics if rubric.metric == metric), None)


def messages(rubric: Rubric, fields: Mapping[str, str]) -> list[Message]:
    """What the judge is told: the rules, then the criterion and the texts.

    >>> _, user = messages(RUBRICS[0], {"Q": "What happens?", "A": "A man waves.", "pred": "A man sits."})
    >>> print(user.text[user.text.index("<reference>"):])
    <reference>
    A man waves.
    </reference>
    <prediction>
    A man sits.
    </prediction>
    """
    # One pass, so that a text with a {A} in it stays as it is.
    told = Message(_PLACE.sub(lambda place: fields[place[1]].strip(), rubric.prompt))
    return [Message(rubric.system, role="system"), told] if rubric.system else [told]


def load_rubrics(path: Path = OWN_FILE, *, scores: Scores = "integer") -> Rubrics:
    """Read a rubrics file; `scores` says whether whole numbers or decimals are asked for.

    Raises:
        RubricsError: naming the file and what is wrong in it.
    """
    content, own = _object(path), _object(OWN_FILE)
    if (unknown := set(content) - _KEYS) or not isinstance(content.get("metrics"), dict) or not content["metrics"]:
        names = ", ".join(sorted(unknown or content)) or "nothing"
        raise RubricsError(f"{path}: found {names}; expected `metrics`, and of others only {', '.join(sorted(_KEYS))}")
    scale = _scale(content.get("scales", own["scales"]), scores, path)
    schema = content.get("schema", scale["schema"])
    if not isinstance(schema, dict | None):
        raise RubricsError(f"{path}: schema is {schema!r:.60}; expected a JSON schema, or null for none")
    words, again = scale["words"], _said(_text(content, "again", path, own["again"]), scale["words"], f"{path}, again")
    system = _text(content, "system", path, "")
    found = {name: _rubric(name, entry, system, words, path) for name, entry in content["metrics"].items()}
    return Rubrics(tuple(found[name] for name in METRICS if name in found), schema, again)


def _object(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise RubricsError(NOT_SHIPPED if path.name == NAME else f"{path} does not exist, {_EXAMPLE}")
    if path.is_dir() or path.suffix == ".py":
        return _published(path)
    try:
        content = read_json(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise RubricsError(f"{path} is no JSON ({reason}); {OWN_FILE} is an example") from error
    if not isinstance(content, dict):
        raise RubricsError(f"{path} holds {content!r:.60}; expected an object, {OWN_FILE} is an example")
    return content


def _published(path: Path) -> dict[str, Any]:
    try:
        return read_published(path)
    except ValueError as error:
        raise RubricsError(str(error)) from error


def _scale(scales: Any, scores: str, path: Path) -> dict[str, Any]:  # noqa: ANN401
    scale = scales.get(scores) if isinstance(scales, dict) else None
    if not isinstance(scale, dict) or not isinstance(scale.get("words"), str) or "schema" not in scale:
        raise RubricsError(f"{path}: scales has no {{words, schema}} for {scores!r}; add it, or take another --scores")
    return scale


def _text(entry: dict[str, Any], name: str, where: object, default: str) -> str:
    text = entry.get(name, default)
    if not isinstance(text, str):
        raise RubricsError(f"{where}: {name} is {text!r:.60}; expected a text")
    return text


def _said(text: str, scale: str, where: str, texts: Collection[str] = ()) -> str:
    """A text with the words of the scale in it; `texts` are the places that are filled for each record."""
    if unknown := set(_WORD.findall(text)) - {"scale", *texts}:
        places = " ".join(f"{{{name}}}" for name in ("scale", *texts))
        raise RubricsError(
            f"{where}: nothing is known to stand for {{{min(unknown)}}}; expected {places}, or a blank after the brace "
            "to say the word itself"
        )
    return text.replace("{scale}", scale)


def _rubric(metric: str, entry: Any, system: str, scale: str, path: Path) -> Rubric:  # noqa: ANN401
    where = f"{path}, {metric}"
    if metric not in FIELDS:
        raise RubricsError(f"{path}: no metric is called {metric!r}; expected some of {', '.join(METRICS)}")
    names = set(entry) - {"system"} if isinstance(entry, dict) else set()
    if names not in ({"prompt"}, {"fields", "criterion"}):
        raise RubricsError(f"{where}: found {sorted(names)}; expected either prompt, or fields and criterion")
    prompt = _said(_text(entry, "prompt", where, "") or _between_tags(entry, where), scale, where, _TAGS)
    fields = tuple(dict.fromkeys(_PLACE.findall(prompt)))
    answers = {name for name in FIELDS[metric] if name.startswith("pred")}
    if not answers <= set(fields) <= set(FIELDS[metric]):
        expected = f"all of {', '.join(sorted(answers))}, and of others only {', '.join(FIELDS[metric])}"
        raise RubricsError(f"{where}: shows {', '.join(fields) or 'nothing'} to the judge; expected {expected}")
    return Rubric(metric, fields, prompt, _said(_text(entry, "system", where, system), scale, f"{where}, system"))


def _between_tags(entry: dict[str, Any], where: str) -> str:
    fields = entry.get("fields")
    if not isinstance(fields, list) or not all(name in _TAGS for name in fields):
        raise RubricsError(f"{where}: fields is {fields!r:.60}; expected a list of {', '.join(_TAGS)}")
    texts = [f"<{_TAGS[name]}>\n{{{name}}}\n</{_TAGS[name]}>" for name in fields]
    return "\n".join([_text(entry, "criterion", where, ""), *texts])


OWN = load_rubrics()
RUBRICS = OWN.metrics
