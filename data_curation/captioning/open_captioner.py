"""The captioners of `--captioner` by name. A new captioner is a file in this folder and a line in `CAPTIONERS`."""

from collections.abc import Callable
from typing import Final, NamedTuple

from data_curation.captioning import picture_captioners
from data_curation.captioning.captioner import Captioner, CaptionerSettings
from data_curation.captioning.facts_captioner import open_facts
from data_curation.captioning.kinematics_captioner import open_kinematics


class CaptionerKind(NamedTuple):
    """A way to caption.

    Attributes:
        open: opens the captioner of a full name.
        is_free: whether captions cost nothing, so that by default all clips get one.
        on_server: whether the model is on a server.
    """

    open: Callable[[str, CaptionerSettings], Captioner]
    is_free: bool = False
    on_server: bool = False


# A name that ends in a colon is followed by a model.
CAPTIONERS: Final[dict[str, CaptionerKind]] = {
    "kinematics": CaptionerKind(open_kinematics, is_free=True),
    "facts": CaptionerKind(open_facts, is_free=True),
    "cogvlm": CaptionerKind(picture_captioners.open_cogvlm),
    "hf:": CaptionerKind(picture_captioners.open_local),
    "openai:": CaptionerKind(picture_captioners.open_on_server, on_server=True),
    "ollama:": CaptionerKind(picture_captioners.open_on_server, on_server=True),
}


def captioner_kind(name: str) -> CaptionerKind:
    """Return the way to caption that a name selects.

    >>> captioner_kind("openai:gpt-4o").on_server
    True

    Raises:
        ValueError: there is no such captioner.
    """
    protocol, colon, model = name.partition(":")
    kind = CAPTIONERS.get(protocol + colon)
    if kind is None or (colon and not model):
        names = ", ".join(f"{key}MODEL" if key.endswith(":") else key for key in CAPTIONERS)
        raise ValueError(f"unknown captioner {name!r}; expected one of {names}")
    return kind


def open_captioner(name: str, settings: CaptionerSettings = CaptionerSettings()) -> Captioner:  # noqa: B008
    """Open a captioner.

    Raises:
        ValueError: there is no such captioner, or it cannot be used (remote code is not allowed, too many pictures).
    """
    return captioner_kind(name).open(name, settings)
