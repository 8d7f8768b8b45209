"""Models for the page to try them: a tiny SKI-LVLM, a tiny student, and a clip of coloured frames."""

from ski_lvlm.demo.actions import Namer
from ski_lvlm.demo.answers import Answerer
from ski_lvlm.demo.handlers import Handlers
from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.lvlm.model import SkiLvlm
from tests.cases.recognition_case import student_run
from tests.cases.text_case import tiny_clip
from tests.cases.tiny_llm import tiny_llm
from tests.cases.trained_case import build_model
from tests.cases.video_case import numbered, write_video
from tests.cases.vision_case import tiny_tower

FRAMES, LONGEST = 4, 12
EXAMPLE = "a clip"


def lvlm(folder):
    """Return a SKI-LVLM that was never trained, which is also saved as `model`."""
    tiny_tower(folder / "tower")
    llm = tiny_llm(folder / "llm")
    build_model(folder / "model", tower=folder / "tower", llm=llm, modalities=("video",), num_frames=FRAMES)
    return LoadedLvlm(SkiLvlm.from_pretrained(folder / "model"))


def handlers(folder, *, models=2):
    """Return the page's functions with two models of each kind, whose answers are short."""
    answering = lvlm(folder)
    student = Namer.load(student_run(folder / "student", backbone=tiny_clip(folder / "clip")), "student")
    (folder / "examples").mkdir()
    (folder / "home").mkdir()
    write_video(folder / "examples" / f"{EXAMPLE}.mp4", numbered(20))
    return Handlers(
        answerers=[Answerer(answering, f"model {number}") for number in range(models)],
        namers=[student] * models,
        examples={EXAMPLE: folder / "examples" / f"{EXAMPLE}.mp4"},
        home=folder / "home",
        generation={"max_new_tokens": LONGEST},
    )
