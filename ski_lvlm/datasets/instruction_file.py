"""Instruction files: lists of conversations in the format of LLaVA and Video-ChatGPT.

Our own files, the SKI authors', LLAVIDAL's, Video-ChatGPT's and LLaVA's differ in the names of keys (`skeleton`,
`pose`), in the spelling of placeholders (`<skeleton>`, `<pose>`, `<human_pose>`, LLaVA's `<image>` for a video) and in
the ending of clip names (`x`, `x.pkl`, `x_pose.pkl`, `x_rgb.avi`). They are read into one form. A record that cannot be
trained on is refused, with its number and a remedy.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.storage.clip_names import clip_name, normal, without_suffix
from ski_lvlm.storage.json_files import read_json

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_MODALITY = {  # spelling of others → ours, for keys and placeholders alike
    "video": "video",
    "skeleton": "skeleton",
    "pose": "skeleton",
    "human_pose": "skeleton",
    "object": "object",
}
_IMAGE_OF_A_VIDEO = {"image": "video"}  # LLaVA's sets of videos write <image> where the key is "video"
_READABLE = ("video", "skeleton")
_PLACEHOLDER = re.compile(r"<([A-Za-z][A-Za-z0-9_]*)>")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUM_LISTED = 10
Record = dict[str, Any]  # one element of the JSON list


class Turn(NamedTuple):
    """One utterance. Placeholders in `text` are spelled `<video>` and `<skeleton>`."""

    role: str
    text: str


class Conversation(NamedTuple):
    """One record: clip names without suffix (None where the record has no such modality) and alternating turns.

    The skeleton's clip is spelled like the video's where they are one. Look names up with a `ClipIndex`, since a name
    may hold folders and an ending such as `_rgb`.
    """

    id: str
    video: str | None
    skeleton: str | None
    turns: tuple[Turn, ...]


def instruction_record(
    name: str, *, clip: str, question: str, answer: str, with_skeleton: bool = True
) -> dict[str, Any]:
    """Return one record of our own files: question, then video, then skeleton, then the answer.

    Paper: Sec. 3.3, template [USER: Q_t Q_v Q_s, Assistant:].

    >>> instruction_record("c_0", clip="c", question="Why?", answer="So.")["conversations"][0]["value"]
    'Why?\\n<video>\\n<skeleton>'
    """
    prompt = f"{question}\n<video>\n<skeleton>" if with_skeleton else f"{question}\n<video>"
    record: Record = {"id": name, "video": clip}
    if with_skeleton:
        record["skeleton"] = clip
    record["conversations"] = [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return record


class Examined(NamedTuple):
    """Result of checking one record: its conversation, or None and the problems."""

    number: int
    label: str
    conversation: Conversation | None
    problems: list[str]


def read_instructions(path: Path, *, drop: Collection[str] = ()) -> list[Conversation]:
    """Read and check a whole instruction file. `drop` names modalities to remove, as in `drop={"object"}`.

    Raises:
        ValueError: not such a file, or records with unknown placeholders, empty answers, wrong turn order or missing
            keys. The first ten are listed with their ids.
    """
    examined = list(examine(_records(path), drop=drop))
    if bad := [record for record in examined if record.problems]:
        listed = "".join(f"\n  {record.label}: {'; '.join(record.problems)}" for record in bad[:_NUM_LISTED])
        if len(bad) > _NUM_LISTED:
            listed += f"\n  … and {len(bad) - _NUM_LISTED} more"
        raise ValueError(f"{path}: {len(bad)} of {len(examined)} records cannot be used:{listed}")
    return [record.conversation for record in examined if record.conversation]


def examine(records: Iterable[Any], *, drop: Collection[str] = ()) -> Iterator[Examined]:
    """Yield the check of each record, without stopping at a problem. `drop` is as in `read_instructions`.

    >>> [record.problems for record in examine([{"id": "7", "video": "v"}])]
    [["no 'conversations'; expected a list of human and gpt turns"]]
    """
    for index, record in enumerate(records):
        problems: list[str] = []
        conversation = _conversation(record, index=index, drop=drop, problems=problems)
        yield Examined(index, _label(record, index), None if problems else conversation, problems)


def _records(path: Path) -> list[Any]:
    try:
        records = read_json(Path(path))
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not JSON ({reason}); expected a list of conversations") from error
    if not isinstance(records, list) or not records:
        kind = "an empty list" if records == [] else type(records).__name__
        raise ValueError(f"{path}: found {kind}, expected a non-empty list of conversations")
    return records


def _label(record: Any, index: int) -> str:  # noqa: ANN401
    name = record.get("id") if isinstance(record, dict) else None
    return f"record {index}" if name is None else f"record {index} (id {name!r})"


def _conversation(
    record: Any,  # noqa: ANN401
    *,
    index: int,
    drop: Collection[str],
    problems: list[str],
) -> Conversation | None:
    """Return the record in our form, and add its problems to `problems`. With problems, the form means nothing."""
    if not isinstance(record, dict):
        problems.append(f"found {type(record).__name__}, expected an object with id, video, conversations")
        return None
    utterances = record.get("conversations")
    if not isinstance(utterances, list) or not utterances:
        problems.append("no 'conversations'; expected a list of human and gpt turns")
        return None
    if record.get("image") is not None:
        problems.append("is about an image ('image'), and SKI-LVLM reads videos; leave the record out")
        return None
    spellings = _MODALITY if record.get("video") is None else _MODALITY | _IMAGE_OF_A_VIDEO
    turns = tuple(_turns(utterances, spellings=spellings, drop=drop, problems=problems))
    clips = {modality: name for modality, name in _clips(record, problems) if modality not in drop}
    if not problems:  # else what follows would mostly say the same again
        _check_placeholders(clips, turns, problems)
    name = str(record.get("id", index))
    return Conversation(name, clips.get("video"), clips.get("skeleton"), turns)


def _clips(record: Record, problems: list[str]) -> Iterator[tuple[str, str]]:
    names = {key: _only(record[key]) for key in _MODALITY if record.get(key) is not None}
    video = str(names.get("video", ""))
    for key, name in names.items():
        if not isinstance(name, str) or not clip_name(name):
            problems.append(f"'{key}' is {name!r}; expected a clip's name")
        elif _MODALITY[key] == "skeleton":
            yield "skeleton", _skeleton_clip(name, video)
        else:
            yield _MODALITY[key], without_suffix(normal(name))


def _only(value: Any) -> Any:  # noqa: ANN401
    return value[0] if isinstance(value, list) and len(value) == 1 else value  # as in "video": ["x.mp4"]


def _skeleton_clip(name: str, video: str) -> str:
    """Return the clip of a skeleton's file, spelled like the video's if it is the same.

    >>> _skeleton_clip("x_pose.pkl", "x_rgb.avi"), _skeleton_clip("tree_pose.pkl", "tree_pose.mp4")
    ('x_rgb', 'tree_pose')
    """
    stem, clip = without_suffix(normal(video)), clip_name(video)
    is_same = without_suffix(normal(name)) == stem or clip_name(name, modality="skeleton") == clip
    return stem if is_same else clip_name(name, modality="skeleton")


def _turns(
    utterances: list[Any], *, spellings: Mapping[str, str], drop: Collection[str], problems: list[str]
) -> Iterator[Turn]:
    for position, turn in enumerate(utterances):
        role, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        expected = ("user", "assistant")[position % 2]
        if role == "system":
            problems.append(f"turn {position} is a system message, which SKI-LVLM does not read; remove it")
            return
        if _ROLES.get(str(role)) != expected:
            problems.append(f"turn {position} is from {role!r}; expected {'human' if position % 2 == 0 else 'gpt'}")
            return  # the turns behind it are most likely only shifted
        kind = "question" if expected == "user" else "answer"
        if not isinstance(text, str) or not text.strip():
            problems.append(f"turn {position}: the {kind} is empty; remove the pair or write one")
            continue
        if _SURROGATE.search(text):
            problems.append(f"turn {position}: the {kind} holds half a character (a lone surrogate): {text!r:.60}")
        words = _normalised(text, spellings=spellings, position=position, drop=drop, problems=problems)
        yield Turn(expected, words.strip())
    if len(utterances) % 2:
        problems.append("the last question has no answer; expected a gpt turn after it")


def _normalised(
    text: str, *, spellings: Mapping[str, str], position: int, drop: Collection[str], problems: list[str]
) -> str:
    """Spell placeholders our way and remove dropped ones. Answers may hold none, and `<b>` in them is just text."""
    in_answer = position % 2 == 1

    def our_spelling(match: re.Match[str]) -> str:
        modality = (_MODALITY if in_answer else spellings).get(match[1])
        if in_answer and modality is None:
            return match[0]
        if modality is not None and modality in drop:
            return ""
        if in_answer:
            problems.append(f"turn {position}: placeholder {match[0]} in an answer; only questions may hold it")
        elif modality not in _READABLE:
            remedy = (
                "drop it with drop={'object'}" if modality else "expected <video>, <skeleton>, <pose> or <human_pose>"
            )
            problems.append(f"turn {position}: unknown placeholder {match[0]}; {remedy}")
        return f"<{modality}>"

    normalised = _PLACEHOLDER.sub(our_spelling, text)
    return re.sub(r"\n{2,}", "\n", normalised) if drop else normalised


def _check_placeholders(clips: dict[str, str], turns: tuple[Turn, ...], problems: list[str]) -> None:
    if "object" in clips:
        problems.append("has 'object' features, which SKI-LVLM does not read; drop them with drop={'object'}")
    for modality in _READABLE:
        count = sum(turn.text.count(f"<{modality}>") for turn in turns)
        if count > 1:
            problems.append(f"<{modality}> occurs {count} times; expected once in a conversation")
        if count and modality not in clips:
            problems.append(f"<{modality}> but no {modality!r} key; add the clip's name or remove the placeholder")
        if not count and modality in clips:
            problems.append(f"a {modality!r} key but no <{modality}>; put the placeholder into the first question")
