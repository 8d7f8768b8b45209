"""The five questions that a judge answers about a caption, as data (`rubrics.json`) with a digest.

They follow the five metrics of the Video-ChatGPT benchmark. Each is graded 0 to 5, and the mean x 20 is reported.
Paper: Sec. 4.2, Table 3.
Assumption: the paper does not print its prompts, so these are in our words. A judge moves with every word. The digest
of these texts is part of every judgement, and runs with different digests are not comparable.

A rubrics file is one JSON object. Another one, for example with somebody's exact prompts, may hold:

- `metrics` (required), by name. A metric has either `fields` and `criterion`, which give the criterion followed by the
  texts between tags, or `prompt`, the whole message. In it {Q}, {A}, {pred} (or {Q1}, {Q2}, {A}, {pred1}, {pred2})
  stand for the texts. A metric may have its own `system`.
- `system`: the system message of all metrics. The default is none. `again`: the message after an unreadable reply.
- `schema`: the JSON schema of a reply, null for none. By default `scales` (ours, unless given) has one for each choice
  of `--scores`, the words that {scale} stands for, and the request for a reply that {answer} stands for.

With `--score expected` the scale is our `digit`. Messages without an {answer} then get its request as their last line.

In place of a file, a clone of Video-ChatGPT's code gives its published prompts (`eval.judges.published_rubrics`).

An unknown word in braces is an error. With a space, as in { word }, it stays as it is.
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

ScoreType = Literal["integer", "decimal", "digit"]
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


@dataclass(frozen=True)
class Rubric:
    """The question about one metric: the texts that the judge sees, and messages with places such as {A} for them."""

    metric: str
    fields: tuple[str, ...]
    prompt: str
    system: str = ""


@dataclass(frozen=True)
class Rubrics:
    """The questions about all metrics, the schema of a reply, and the message after an unreadable one."""

    metrics: tuple[Rubric, ...]
    schema: dict[str, Any] | None
    again: str

    @cached_property
    def digest(self) -> str:
        """The digest of everything in the rubrics. Grades with different ones are not comparable."""
        return digest(json.dumps(asdict(self), sort_keys=True))

    def of(self, metric: str) -> Rubric | None:
        """Return the rubric of a metric, or None."""
        return next((rubric for rubric in self.metrics if rubric.metric == metric), None)


def messages(rubric: Rubric, fields: Mapping[str, str]) -> list[Message]:
    """Return the messages of a question: the rules, then the criterion and the texts.

    >>> _, user = messages(OWN.metrics[0], {"Q": "What happens?", "A": "A man waves.", "pred": "A man sits."})
    >>> print(user.text[user.text.index("<reference>"):])
    <reference>
    A man waves.
    </reference>
    <prediction>
    A man sits.
    </prediction>
    """
    # One pass, so that a text with a {A} in it stays as it is.
    question = Message(_PLACE.sub(lambda place: fields[place[1]].strip(), rubric.prompt))
    return [Message(rubric.system, role="system"), question] if rubric.system else [question]


def load_rubrics(path: Path = OWN_FILE, *, scores: ScoreType = "integer") -> Rubrics:
    """Read a rubrics file. `scores` selects whole numbers, decimals, or a digit alone.

    Raises:
        ValueError: the message names the file and the error in it.
    """
    content, defaults = _object(path), _object(OWN_FILE)
    if (unknown := set(content) - _KEYS) or not isinstance(content.get("metrics"), dict) or not content["metrics"]:
        names = ", ".join(sorted(unknown or content)) or "nothing"
        raise ValueError(f"{path}: found {names}; expected `metrics`, and of others only {', '.join(sorted(_KEYS))}")
    is_digit = scores == "digit"
    scales = defaults["scales"] if is_digit else content.get("scales", defaults["scales"])
    scale = _scale(scales, scores, path)
    schema = None if is_digit else content.get("schema", scale["schema"])
    if not isinstance(schema, dict | None):
        raise ValueError(f"{path}: schema is {schema!r:.60}; expected a JSON schema, or null for none")
    # A digit is asked for once, since the same question has the same probabilities.
    again = "" if is_digit else _filled(_text(content, "again", path, defaults["again"]), scale, f"{path}, again")
    system = _text(content, "system", path, "")
    rubrics = {name: _rubric(name, entry, system, scale, path) for name, entry in content["metrics"].items()}
    return Rubrics(tuple(rubrics[name] for name in METRICS if name in rubrics), schema, again)


def _object(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ValueError(NOT_SHIPPED if path.name == NAME else f"{path} does not exist, {_EXAMPLE}")
    if path.is_dir() or path.suffix == ".py":
        return read_published(path)
    try:
        content = read_json(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path} is no JSON ({reason}); {OWN_FILE} is an example") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {content!r:.60}; expected an object, {OWN_FILE} is an example")
    return content


def _scale(scales: Any, scores: str, path: Path) -> dict[str, Any]:  # noqa: ANN401
    scale = scales.get(scores) if isinstance(scales, dict) else None
    if not isinstance(scale, dict) or not isinstance(scale.get("words"), str) or "schema" not in scale:
        raise ValueError(f"{path}: scales has no {{words, schema}} for {scores!r}; add it, or choose another --scores")
    if not isinstance(answer := scale.get("answer", ""), str):
        raise ValueError(f"{path}: the answer of scale {scores!r} is {answer!r:.60}; expected a text")
    return scale | {"answer": answer, "is_digit": scores == "digit"}


def _text(entry: dict[str, Any], name: str, source: object, default: str) -> str:
    text = entry.get(name, default)
    if not isinstance(text, str):
        raise ValueError(f"{source}: {name} is {text!r:.60}; expected a text")
    return text


def _filled(text: str, scale: Mapping[str, Any], source: str, texts: Collection[str] = ()) -> str:
    """Insert the words of the scale into a text. `texts` are the places that are filled for each record."""
    names = (*(("scale", "answer") if scale["answer"] else ("scale",)), *texts)
    if unknown := set(_WORD.findall(text)) - set(names):
        places = " ".join(f"{{{name}}}" for name in names)
        raise ValueError(
            f"{source}: nothing is known to stand for {{{min(unknown)}}}; expected {places}, or a blank after the "
            "brace to keep the word itself"
        )
    return text.replace("{answer}", scale["answer"]).replace("{scale}", scale["words"])


def _rubric(metric: str, entry: Any, system: str, scale: Mapping[str, Any], path: Path) -> Rubric:  # noqa: ANN401
    source = f"{path}, {metric}"
    if metric not in FIELDS:
        raise ValueError(f"{path}: no metric is called {metric!r}; expected some of {', '.join(METRICS)}")
    names = set(entry) - {"system"} if isinstance(entry, dict) else set()
    if names not in ({"prompt"}, {"fields", "criterion"}):
        raise ValueError(f"{source}: found {sorted(names)}; expected either prompt, or fields and criterion")
    rules = _text(entry, "system", source, system)
    prompt = _text(entry, "prompt", source, "") or _between_tags(entry, source)
    if scale["is_digit"] and "{answer}" not in rules + prompt:
        prompt += "\n{answer}"
    prompt = _filled(prompt, scale, source, _TAGS)
    fields = tuple(dict.fromkeys(_PLACE.findall(prompt)))
    answers = {name for name in FIELDS[metric] if name.startswith("pred")}
    if not answers <= set(fields) <= set(FIELDS[metric]):
        expected = f"all of {', '.join(sorted(answers))}, and of others only {', '.join(FIELDS[metric])}"
        raise ValueError(f"{source}: shows {', '.join(fields) or 'nothing'} to the judge; expected {expected}")
    return Rubric(metric, fields, prompt, _filled(rules, scale, f"{source}, system"))


def _between_tags(entry: dict[str, Any], source: str) -> str:
    fields = entry.get("fields")
    if not isinstance(fields, list) or not all(name in _TAGS for name in fields):
        raise ValueError(f"{source}: fields is {fields!r:.60}; expected a list of {', '.join(_TAGS)}")
    texts = [f"<{_TAGS[name]}>\n{{{name}}}\n</{_TAGS[name]}>" for name in fields]
    return "\n".join([_text(entry, "criterion", source, ""), *texts])


OWN = load_rubrics()
