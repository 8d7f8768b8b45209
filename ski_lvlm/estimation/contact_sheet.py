"""Contact sheets: frames of a clip with the estimated skeletons drawn on them, to look at."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ski_lvlm.estimation.estimate import Estimate
from ski_lvlm.skeletons.layouts import Layout
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.videos.decoding import iterate_frames, probe
from ski_lvlm.videos.folder import VideoClip
from ski_lvlm.videos.packets import timeline
from ski_lvlm.videos.timeline import sample_indices

_FRAMES = 8
_COLUMNS = 4
_SHORTER_SIDE = 360  # pixels of a frame
_COLOURS = {"left": (255, 140, 0), "right": (0, 200, 255), "": (255, 255, 255)}


def write_contact_sheet(
    path: Path, clip: VideoClip, estimate: Estimate, *, layout: Layout, min_confidence: float, stride: int
) -> None:
    """Write eight frames of a clip as a JPEG. Left bones are orange, right ones blue, and absent joints not drawn.

    Raises:
        VideoError: the video cannot be read.
    """
    from PIL import Image

    info = probe(clip.path)
    first, _ = (0, 0) if clip.span is None else timeline(clip.path).frames_in(clip.span)
    numbers = sample_indices(len(estimate.joints), _FRAMES)
    scale = _SHORTER_SIDE / min(info.width, info.height)
    size = round(info.height * scale), round(info.width * scale)
    frames = iterate_frames(clip.path, numbers={first + stride * int(number) for number in numbers}, size=size)
    with np.errstate(invalid="ignore"):
        is_sure = estimate.confidence >= min_confidence
    places = np.where(is_sure[..., None], estimate.places, np.nan)[numbers] * size[::-1]
    rows = -(-len(numbers) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(numbers), _COLUMNS) * size[1], rows * size[0]))
    for i, (frame, points) in enumerate(zip(frames, places, strict=False)):
        sheet.paste(Image.fromarray(drawn(frame, points, layout)), (i % _COLUMNS * size[1], i // _COLUMNS * size[0]))
    with atomic_path(path) as temporary:
        sheet.save(temporary, "JPEG", quality=85)


def drawn(
    frame: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "M J 2"], layout: Layout
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the frame with the bones of each person. A bone with an absent end is not drawn."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    for person in points:
        for child, parent in layout.bones:
            ends = person[[child, parent]]
            if not np.isnan(ends).any():
                side = layout.joints[child].split()[0]
                draw.line([tuple(end) for end in ends.tolist()], fill=_COLOURS.get(side, _COLOURS[""]), width=3)
    return np.array(image)
