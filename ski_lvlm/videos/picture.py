"""Geometry of a video's frames as a player shows them: turned and mirrored by the header, with square pixels.

Phones record every picture lying on the same side and tell in the header how to turn it. Other cameras record pixels
that are wider than high. All readers of frames use this module, so that sizes and crops are in the pixels that a person
sees.

Assumption: pixels that differ from a square by less than 2 % are taken as square, since programs that scale videos
round so. Pictures of high dynamic range in SMPTE 2084 (PQ) are brought to the standard range. Those in HLG are
taken as they are, since HLG was made to be seen on screens of standard range. Interlaced pictures stay so, and
transparency is dropped.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ski_lvlm.videos.folder import VideoError

if TYPE_CHECKING:
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_SQUARE_ENOUGH = 0.02  # deviation of a pixel's width over its height from 1
_MOST_STRETCHED = 10  # times; beyond it the header is nonsense
_PQ = 16  # FFmpeg's number for the transfer curve of SMPTE 2084

Step = tuple[str, str]  # a filter of FFmpeg and its arguments


class Picture(NamedTuple):
    """The size at which a frame is shown, in pixels, and the filters that make it so."""

    width: int
    height: int
    steps: tuple[Step, ...]


def shown_picture(frame: "VideoFrame", stream: "VideoStream") -> Picture:
    """Return the size at which a player shows a frame, and the filters for it.

    Raises:
        VideoError: the header turns the frame by another angle than quarter turns.
    """
    turn, is_upright = _turn(frame, stream)
    stretch = _pixel_aspect(stream)
    width, height = (frame.width, frame.height) if is_upright else (frame.height, frame.width)
    if stretch == 1:
        return Picture(width, height, turn)
    if is_upright:
        width = round(width * stretch)
    else:
        height = round(height * stretch)
    return Picture(width, height, (*turn, ("scale", f"{width}:{height}:flags=area")))


def _turn(frame: "VideoFrame", stream: "VideoStream") -> tuple[tuple[Step, ...], bool]:
    """Return the filters that turn and mirror a frame, and whether its width stays its width."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return (), True
    right_x, right_y, _, down_x, down_y = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if right_x * down_y == right_y * down_x:  # a matrix without extent says nothing
        return (), True
    largest = max(map(abs, (right_x, right_y, down_x, down_y)))
    if max(abs(right_y), abs(down_x)) < _SQUARE_ENOUGH * largest:
        mirrors = (("hflip", right_x < 0), ("vflip", down_y < 0))
        return tuple((name, "") for name, is_mirrored in mirrors if is_mirrored), True
    if max(abs(right_x), abs(down_y)) < _SQUARE_ENOUGH * largest:
        directions = {(False, False): "cclock_flip", (False, True): "clock", (True, False): "cclock"}
        return (("transpose", directions.get((right_y < 0, down_x < 0), "clock_flip")),), False
    degrees = round(math.degrees(math.atan2(right_y, right_x)))
    raise VideoError(
        f"{stream.container.name}: the header turns the picture by {degrees} degrees; expected quarter turns, so "
        "re-encode it"
    )


def standard_range(frame: "VideoFrame") -> tuple[Step, ...]:
    """Return the filter that brings a frame to the standard dynamic range, if it needs one.

    Its table takes five seconds to compute for each video.
    """
    if frame.color_trc != _PQ:
        return ()
    return (("scale", "out_transfer=bt709:out_primaries=bt709:intent=perceptual"),)


def _pixel_aspect(stream: "VideoStream") -> Fraction:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    is_credible = Fraction(1, _MOST_STRETCHED) < aspect < _MOST_STRETCHED
    return aspect if is_credible and abs(aspect - 1) > _SQUARE_ENOUGH else Fraction(1)


def filter_graph(
    frame: "VideoFrame", steps: Sequence[Step], *, pixel_format: str, time_base: Fraction = Fraction(1, 1000)
) -> "tuple[Graph, list[FilterContext]]":
    """Return FFmpeg's graph for frames like this one, and its filters: source, `steps`, pixel format, sink."""
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1  # clips are many: one thread each beats many for one
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filters = [graph.add(name, arguments or None) for name, arguments in steps]
    filters = [source, *filters, graph.add("format", pixel_format), graph.add("buffersink")]
    graph.link_nodes(*filters).configure()
    return graph, filters
