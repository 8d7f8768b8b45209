"""Videos whose frames show their own number: a flat grey of 8 + 4 t, or four coloured quarters."""

import av
import numpy as np
import pytest

from tests.cases.recordings import REAL

REAL_CLIP = REAL / "ntu" / "S001C001P001R001A001_rgb.avi"
needs_real_clip = pytest.mark.skipif(not REAL_CLIP.exists(), reason=f"the genuine NTU clip {REAL_CLIP} is not here")


def write_video(path, frames):
    """Write H.264 with B-frames and a key frame every 12 frames, as AVI files from the field have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"crf": "1", "preset": "ultrafast", "bf": "2", "g": "12"}
        )
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_drawing(path, *, width=320, height=180, frames=12, draw=lambda picture, index: None):
    """Write a video of black pictures that `draw` changes, each with its index."""
    pictures = np.zeros((frames, height, width, 3), np.uint8)
    for index, picture in enumerate(pictures):
        draw(picture, index)
    return write_video(path, pictures)


def numbered(count, *, height=48, width=64):
    return np.broadcast_to(8 + 4 * np.arange(count)[:, None, None, None], (count, height, width, 3)).astype(np.uint8)


def quarters(*, height=48, width=64):
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = (250, 0, 0)
    frame[: height // 2, width // 2 :] = (0, 250, 0)
    frame[height // 2 :, : width // 2] = (0, 0, 250)
    return np.repeat(frame[None], 4, 0)


def frame_numbers(video):
    return [round((float(frame.float().mean()) - 8) / 4) for frame in video]


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_zero_length(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path
