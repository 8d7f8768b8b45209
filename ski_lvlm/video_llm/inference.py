"""A trained video LLM ready for questions about videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ski_lvlm.lvlm.inference import ModelAnswer
from ski_lvlm.video_llm.answering import answer
from ski_lvlm.video_llm.frames import VideoFrames, read_video_frames
from ski_lvlm.video_llm.model import SkiVideoLlm


class LoadedVideoLlm:
    """A SKI-trained video LLM on its device, with the methods of `ski_lvlm.lvlm.inference.LoadedLvlm`."""

    def __init__(self, model: SkiVideoLlm) -> None:
        self.model = model

    def generate(self, video: str | Path, question: str, **generation: Any) -> str:  # noqa: ANN401
        """Answer a question about a video file, greedily unless `generation` says otherwise."""
        (answer,) = self.answer([self.read(Path(video))], [question], **generation)
        return answer.text

    def read(self, video: Path) -> VideoFrames:
        """Read the frames of a video file, as many and as large as in training."""
        config = self.model.config
        return read_video_frames(video, num_frames=config.num_frames, side=config.frame_side)

    def encode(self, frames: VideoFrames) -> VideoFrames:
        """Return the frames as they are: the model encodes a video together with the question."""
        return frames

    def answer(
        self,
        videos: Sequence[VideoFrames],
        questions: Sequence[str],
        **generation: Any,  # noqa: ANN401
    ) -> list[ModelAnswer]:
        """Answer a question about each video, one after the other."""
        model = self.model
        return [
            answer(model.llm, model.prompting, video, question, **generation)
            for video, question in zip(videos, questions, strict=True)
        ]
