"""Contact sheets: frames of a clip with the estimated skeletons drawn on them, to look at."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ski_lvlm.estimation.estimate import Estimate
from ski_lvlm.skeletons.layouts import Layout
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.videos.decoding import iterate_frames, probe
from ski_lvlm.videos.folder import VideoClip
from ski_lvlm.videos.packets import clip_timeline
from ski_lvlm.videos.timeline import sample_indices

_FRAMES = 8
_COLUMNS = 4
_SHORTER_SIDE = 720  # pixels of the whole picture
_SLACK = 0.15  # of the persons' extent
_COLOURS = {"left": (255, 140, 0), "right": (0, 200, 255), "": (255, 255, 255)}


def write_contact_sheet(
    path: Path, clip: VideoClip, estimate: Estimate, *, layout: Layout, min_confidence: float, stride: int
) -> None:
    """Write eight frames of a clip as a JPEG.

    Left bones are orange, right ones blue, and absent joints not drawn.

    Raises:
        VideoError: the video cannot be read.
    """
    from PIL import Image

    info, (first, _) = probe(clip.path), clip_timeline(clip.path, clip.span)
    numbers = sample_indices(len(estimate.joints), _FRAMES)
    scale = min(1.0, _SHORTER_SIDE / min(info.width, info.height))
    height, width = round(info.height * scale), round(info.width * scale)
    frames = iterate_frames(
        clip.path, numbers={first + stride * int(number) for number in numbers}, size=(height, width)
    )
    places = sure_places(estimate, min_confidence=min_confidence)[numbers] * [width, height]
    pictures = [Image.fromarray(drawn(frame, points, layout)) for frame, points in zip(frames, places, strict=False)]
    window = around(places, width=width, height=height)
    columns, tile = min(len(pictures), _COLUMNS), (window[2] - window[0], window[3] - window[1])
    sheet = Image.new("RGB", (columns * tile[0], -(-len(pictures) // columns) * tile[1]))
    for i, picture in enumerate(pictures):
        sheet.paste(picture.crop(window), (i % columns * tile[0], i // columns * tile[1]))
    with atomic_path(path) as temporary:
        sheet.save(temporary, "JPEG", quality=85)


def sure_places(estimate: Estimate, *, min_confidence: float) -> Float[np.ndarray, "T M J 2"]:
    """Return where joints are, as shares of width and height, NaN below `min_confidence` and where they are absent."""
    with np.errstate(invalid="ignore"):
        is_sure = estimate.confidence >= min_confidence
    return np.where(is_sure[..., None], estimate.places, np.nan)


def around(places: Float[np.ndarray, "n M J 2"], *, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the window that shows all persons with slack, or of the whole picture."""
    if np.isnan(places).all():
        return 0, 0, width, height
    low, high = np.nanmin(places, axis=(0, 1, 2)), np.nanmax(places, axis=(0, 1, 2))
    slack = _SLACK * (high - low).max()
    left, top = np.clip(low - slack, 0, [width - 2, height - 2]).astype(int).tolist()
    right, bottom = np.clip(high + slack, [left + 2, top + 2], [width, height]).astype(int).tolist()
    return left, top, right, bottom


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
