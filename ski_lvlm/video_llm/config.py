"""Configuration of a SKI-trained video LLM, as it is saved beside the trained weights."""

from typing import Any

from ski_lvlm.lvlm.config import SkiLvlmConfig

MODEL_TYPE = "ski_video_llm"


class SkiVideoLlmConfig(SkiLvlmConfig):
    """The configuration of a SKI-LVLM whose base, `base_llm`, is a video LLM, with the frames that it was shown."""

    model_type = MODEL_TYPE

    def __init__(self, *, num_frames: int = 16, frame_side: int = 448, **shared: Any) -> None:  # noqa: ANN401
        self.num_frames, self.frame_side = num_frames, frame_side
        super().__init__(**shared)
