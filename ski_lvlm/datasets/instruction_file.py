"""Instruction pairs on disk: the LLaVA/Video-ChatGPT list of conversations, whoever wrote it.

Our own files, the SKI authors', LLAVIDAL's, Video-ChatGPT's and LLaVA's differ in the names of keys (`skeleton`,
`pose`), in the spelling of placeholders (`<skeleton>`, `<pose>`, `<human_pose>`, LLaVA's `<image>` for a video) and in
the ending of clip names (`x`, `x.pkl`, `x_pose.pkl`, `x_rgb.avi`). They are read into one form; what cannot be trained
on is refused with record and remedy.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.storage.clip_names import clip_name, normal, without_suffix
from ski_lvlm.storage.json_files import read_json

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_MODALITY = {  # how others spell it → our word, for keys and placeholders alike
    "video": "video",
    "skeleton": "skeleton",
    "pose": "skeleton",
    "human_pose": "skeleton",
    "object": "object",
}
_IMAGE_OF_A_VIDEO = {"image": "video"}  # LLaVA's sets of videos write <image> where the key is "video"
_READABLE = ("video", "skeleton")
_PLACEHOLDER = re.compile(r"<([A-Za-z][A-Za-z0-9_]*)>")
_HALF = re.compile("[\ud800-\udfff]")
_SHOWN = 10
Record = dict[str, Any]  # one element of the JSON list


class InstructionError(ValueError):
    """An instruction file that cannot be trained on; the message lists the first problems and counts them all."""


class Turn(NamedTuple):
    """One utterance; placeholders in `text` are spelled `<video>` and `<skeleton>`."""

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
    """One record of our own files: question, then video, then skeleton, then the answer.

    Paper: Sec. 3.3, template [USER: Q_t Q_v Q_s, Assistant:].

    >>> instruction_record("c_0", clip="c", question="Why?", answer="So.")["conversations"][0]["value"]
    'Why?\\n<video>\\n<skeleton>'
    """
    asked = f"{question}\n<video>\n<skeleton>" if with_skeleton else f"{question}\n<video>"
    record: Record = {"id": name, "video": clip}
    if with_skeleton:
        record["skeleton"] = clip
    record["conversations"] = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    return record


class Examined(NamedTuple):
    """One record looked at: its conversation, or (then None) everything that is wrong with it."""

    number: int
    label: str
    conversation: Conversation | None
    problems: list[str]


def read_instructions(path: Path, *, drop: Collection[str] = ()) -> list[Conversation]:
    """Read and check a whole instruction file; `drop` names modalities to leave out of it, as in `drop={"object"}`.

    Raises:
        InstructionError: not such a file, or records with unknown placeholders, empty answers, wrong turn order or
            missing keys; the first ten are listed with their ids.
    """
    examined = list(examine(_records(path), drop=drop))
    if bad := [record for record in examined if record.problems]:
        rest = f"\n  … and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        listed = "".join(f"\n  {record.label}: {'; '.join(record.problems)}" for record in bad[:_SHOWN])
        raise InstructionError(f"{path}: {len(bad)} of {len(examined)} records cannot be used:{listed}{rest}")
    return [record.conversation for record in examined if record.conversation]


def examine(records: Iterable[Any], *, drop: Collection[str] = ()) -> Iterator[Examined]:
    """Look at records one by one without stopping at what cannot be trained on; `drop` as in `read_instructions`.

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
        raise InstructionError(f"{path}: not JSON ({reason}); expected a list of conversations") from error
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else type(records).__name__
        raise InstructionError(f"{path}: found {found}, expected a non-empty list of conversations")
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
    """The record in our form; whatever is wrong with it is added to `problems`, and then the form means nothing."""
    if not isinstance(record, dict):
        problems.append(f"found {type(record).__name__}, expected an object with id, video, conversations")
        return None
    said = record.get("conversations")
    if not isinstance(said, list) or not said:
        problems.append("no 'conversations'; expected a list of human and gpt turns")
        return None
    if record.get("image") is not None:
        problems.append("is about an image ('image'), and SKI-LVLM reads videos; leave the record out")
        return None
    spelled = _MODALITY if record.get("video") is None else _MODALITY | _IMAGE_OF_A_VIDEO
    turns = tuple(_turns(said, spelled=spelled, drop=drop, problems=problems))
    clips = {modality: name for modality, name in _clips(record, problems) if modality not in drop}
    if not problems:  # else what follows would mostly say the same again
        _check_placeholders(clips, turns, problems)
    name = str(record.get("id", index))
    return Conversation(name, clips.get("video"), clips.get("skeleton"), turns)


def _clips(record: Record, problems: list[str]) -> Iterator[tuple[str, str]]:
    named = {key: _only(record[key]) for key in _MODALITY if record.get(key) is not None}
    video = str(named.get("video", ""))
    for key, name in named.items():
        if not isinstance(name, str) or not clip_name(name):
            problems.append(f"'{key}' is {name!r}; expected a clip's name")
        elif _MODALITY[key] == "skeleton":
            yield "skeleton", _skeleton_clip(name, video)
        else:
            yield _MODALITY[key], without_suffix(normal(name))


def _only(value: Any) -> Any:  # noqa: ANN401
    """The element of a list of one, as in `"video": ["x.mp4"]`; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _skeleton_clip(name: str, video: str) -> str:
    """The clip of a skeleton's file, spelled like the video's if it is the same.

    >>> _skeleton_clip("x_pose.pkl", "x_rgb.avi"), _skeleton_clip("tree_pose.pkl", "tree_pose.mp4")
    ('x_rgb', 'tree_pose')
    """
    stem, clip = without_suffix(normal(video)), clip_name(video)
    is_same = without_suffix(normal(name)) == stem or clip_name(name, modality="skeleton") == clip
    return stem if is_same else clip_name(name, modality="skeleton")


def _turns(
    said: list[Any], *, spelled: Mapping[str, str], drop: Collection[str], problems: list[str]
) -> Iterator[Turn]:
    for position, turn in enumerate(said):
        role, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        expected = ("user", "assistant")[position % 2]
        if role == "system":
            problems.append(f"turn {position} is a system message, which SKI-LVLM does not read; remove it")
            return
        if _ROLES.get(str(role)) != expected:
            problems.append(f"turn {position} is from {role!r}; expected {'human' if position % 2 == 0 else 'gpt'}")
            return  # the turns behind it are most likely shifted and nothing else
        what = "question" if expected == "user" else "answer"
        if not isinstance(text, str) or not text.strip():
            problems.append(f"turn {position}: the {what} is empty; remove the pair or write one")
            continue
        if _HALF.search(text):
            problems.append(f"turn {position}: the {what} holds half a character (a lone surrogate): {text!r:.60}")
        words = _normalised(text, spelled=spelled, position=position, drop=drop, problems=problems)
        yield Turn(expected, words.strip())
    if len(said) % 2:
        problems.append("the last question has no answer; expected a gpt turn after it")


def _normalised(
    text: str, *, spelled: Mapping[str, str], position: int, drop: Collection[str], problems: list[str]
) -> str:
    """Spell placeholders our way and take dropped ones out; answers may hold none, and `<b>` in them is just text."""
    in_answer = position % 2 == 1

    def ours(match: re.Match[str]) -> str:
        modality = (_MODALITY if in_answer else spelled).get(match[1])
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

    return re.sub(r"\n{2,}", "\n", _PLACEHOLDER.sub(ours, text)) if drop else _PLACEHOLDER.sub(ours, text)


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
