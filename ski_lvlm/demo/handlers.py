"""Functions of the page: take a visitor's clip, answer questions about it, name its action."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ski_lvlm.demo.actions import Namer, Pictures, class_names, joint_pictures
from ski_lvlm.demo.answers import Answerer
from ski_lvlm.demo.clips import ClipError, Limits, shown_frames
from ski_lvlm.demo.session import Session
from ski_lvlm.estimation.estimate import Estimator
from ski_lvlm.estimation.loading import load_estimator

Message = dict[str, Any]  # as Gradio has it: role, content and more
_MAX_QUESTION = 1000  # characters


@dataclass
class Handlers:
    """Models, example clips by name, the limits of uploads, and the folder of all visitors' clips."""

    answerers: Sequence[Answerer]
    namers: Sequence[Namer]
    examples: Mapping[str, Path]
    home: Path
    limits: Limits = field(default_factory=Limits)
    generation: Mapping[str, Any] = field(default_factory=dict)

    def take(self, file: str | None, previous: Session | None) -> Session | None:
        """Return the session of an upload, and remove that of the clip before."""
        if previous:
            previous.remove()
        return Session.of_upload(Path(file), self.home, self.limits) if file else None

    def take_example(self, name: str, previous: Session | None) -> Session:
        """Return the session of an example clip."""
        if previous:
            previous.remove()
        return Session.of_example(self.examples[name], self.home)

    def frames(self, session: Session) -> Pictures:
        """Return some of the frames that the first model sees."""
        models: list[Answerer | Namer] = [*self.answerers, *self.namers]
        return shown_frames(models[0].frames(session.clip))

    def ask(
        self, number: int, session: Session | None, question: str, history: list[Message]
    ) -> Iterator[list[Message]]:
        """Yield the conversation with the answer of a model as it grows."""
        clip = _clip_of(session)
        text = question.strip()
        if not text or len(text) > _MAX_QUESTION:
            raise ClipError(f"Please write a question of 1 to {_MAX_QUESTION} characters.")
        spoken = [*history, {"role": "user", "content": text}]
        yield [*spoken, {"role": "assistant", "content": "…"}]
        with closing(self.answerers[number].stream(clip, text, **self.generation)) as answers:
            for answer in answers:
                yield [*spoken, {"role": "assistant", "content": answer or "…"}]

    def name(self, number: int, session: Session | None, names: str) -> tuple[dict[str, float], Pictures]:
        """Return the probability of each name, and where the student looks for the first."""
        actions = self.namers[number].name(_clip_of(session), class_names(names))
        return actions.probabilities, actions.heat

    def joints(self, session: Session | None) -> Pictures:
        """Return frames with estimated joints."""
        return joint_pictures(_clip_of(session), self.estimator)

    @cached_property
    def estimator(self) -> Estimator:
        """The estimator of joints, loaded when it is first asked for."""
        return load_estimator("blazepose")


def _clip_of(session: Session | None) -> Path:
    if session is None:
        raise ClipError("Please give a clip first: upload one, record one, or choose an example.")
    return session.clip
