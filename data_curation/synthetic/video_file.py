"""Videos of drawn frames."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ski_lvlm.storage.files import atomic_path


def write_video(path: Path, frames: Sequence[UInt8[np.ndarray, "H W 3"]], *, rate: int | Fraction) -> None:
    """Write RGB frames as H.264, `rate` a second, atomically."""
    import av

    height, width, _ = frames[0].shape
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        # AVI cannot hold reordered frames, hence no B-frames. One thread gives the same bytes every time.
        options = {"preset": "veryfast", "crf": "20", "threads": "1", "bf": "0", "g": "20"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
