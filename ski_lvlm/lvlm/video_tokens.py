"""Video tokens kept in a feature folder, so that a video is decoded and encoded once for several models."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ski_lvlm.encoders.vision_tower import VisionTower
from ski_lvlm.lvlm.feature_files import read_tokens
from ski_lvlm.lvlm.features import FeatureWriter


def video_entry(tower: VisionTower, *, framing: str, data_set: str | None = None) -> dict[str, Any]:
    """Return what features.json says of video tokens.

    `data_set` is the name of the data set whose table says which stretches of videos its clips are. A clip may then be
    called as a whole video, and so the two kinds never share a folder.
    """
    entry = {"tower": tower.model_id, "digest": tower.digest, "num_frames": tower.num_frames, "framing": framing}
    entry |= {"width": tower.width, "tokens": tower.num_tokens}
    entry |= {} if tower.has_own_side else {"side": tower.image_size}
    return entry | ({"stretches_of": data_set} if data_set else {})


class VideoTokens:
    """Tokens of clips in a feature folder: read where they are, kept where a tower has made them.

    Args:
        root: the folder, which may be that of `scripts/extract_features.py`. It is made if it is absent.
        entry: the tokens' origin, from `video_entry`.

    Raises:
        FeatureError: the tokens in the folder come from another tower, other frames or clips, or nobody knows where.
    """

    def __init__(self, root: Path | str, entry: dict[str, Any]) -> None:
        self._features = FeatureWriter(root, {"video": entry})

    def load(self, clip: str) -> Float32[Tensor, "N F"] | None:
        """Return the tokens of a clip, or None where there are none yet.

        Raises:
            FeatureError: the file is damaged.
        """
        if not self._features.has(clip, "video"):
            return None
        return torch.from_numpy(read_tokens(self._features.path(clip, "video")).astype(np.float32))

    def keep(self, clip: str, tokens: Float[Tensor, "N F"]) -> Float32[Tensor, "N F"]:
        """Store the tokens of a clip, and return them as `load` will, rounded to float16.

        Raises:
            FeatureError: a value is NaN or beyond float16's 65504.
            OSError: the disk is full.
        """
        self._features.write(clip, "video", tokens.float().cpu().numpy())
        return tokens.half().float().cpu()
