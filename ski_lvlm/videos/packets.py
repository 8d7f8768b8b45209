"""Frames of a video file and their times, read from its packets without decoding them.

A container's announced count is not trusted. Clips that were cut without re-encoding hold packets that a player skips,
and headers are wrong or absent. Only packets that will be shown count.

One rule holds for all containers: a file with a broken packet between whole ones is refused, and so is one that lacks
more than a tenth of its packets at its end. Packets before the first key frame are neither, since no player shows them.
Not every container shows its damage: MPEG program streams and Windows Media hide lost packets.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ski_lvlm.storage.git_lfs import PointerError, refuse_pointers
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.matroska import structure
from ski_lvlm.videos.timeline import Span, Timeline, timeline_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAY_BE_MISSING = 0.1  # share of the packets
_DEEPEST = 33  # packets; frames are not shown later than that after they were decoded
_NEED_KEY = ("vp8", "vp9", "libvpx", "av1", "libdav1d")  # decoders that make up frames where a key frame is absent
_TRAILER = 64  # bytes that may follow the last packet of a Flash video


@contextmanager
def open_video(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a file at its main video stream.

    Raises:
        VideoError: no such file, no video in it, or FFmpeg cannot decode it, also while it is open.
    """
    import av
    from av.video.stream import VideoStream

    if not path.is_file():
        raise VideoError(f"{path}: no such video file; check the path")
    try:
        refuse_pointers(path)
    except PointerError as error:
        raise VideoError(str(error)) from error
    try:
        with av.open(str(path.absolute())) as container:  # a colon in a relative name would be that of an address
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & av.stream.Disposition.attached_pic:
                raise VideoError(f"{path}: holds no video stream (audio only?); give the RGB video of the clip")
            if stream.codec_context is None:
                raise VideoError(f"{path}: FFmpeg does not know the codec of this video; re-encode it")
            stream.thread_type = "NONE"  # many clips are decoded side by side, where threads inside one only cost time
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded ({error.strerror}); copy it again or re-encode it") from error


def timeline(path: Path) -> Timeline:
    """Return the times at which the frames of a file are shown.

    Raises:
        VideoError: the file cannot be opened, has no frames, or has packets that are broken or missing.
    """
    with open_video(path) as (container, stream):
        table = _read_packets(container, stream)
        visible = [packet for packet in table.packets if packet.is_shown]
        if not visible:
            raise VideoError(f"{path}: the video has no frames (zero length); copy or record it again")
        _check_whole(path, container, stream, table)
        unit = float(stream.time_base or 0)
    return decoded_timeline(path) if _has_lead_in(table.packets) else _timeline(visible, unit=unit)


def clip_timeline(path: Path, span: Span | None) -> tuple[int, Timeline]:
    """Return the first frame of a stretch, and the times of its frames. Without `span` it is the whole file.

    Raises:
        VideoError: as `timeline`, or the stretch is not in the file.
    """
    times = timeline(path)
    if span is None:
        return 0, times
    try:
        first, last = times.frames_in(span)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from error
    return first, times.part(first, last)


def decoded_timeline(path: Path) -> Timeline:
    """Return the same by decoding, for files of which a player does not show every packet."""
    with open_video(path) as (container, stream):
        frames = [
            _PacketFacts(
                frame.pts if _has_presentation_times(container) else None,
                frame.duration or 0,
                is_key=False,
                is_shown=True,
                is_corrupt=False,
            )
            for frame in whole_frames(container, stream, path)
        ]
        return _timeline(frames, unit=float(stream.time_base or 0))


def whole_frames(container: "InputContainer", stream: "VideoStream", path: Path) -> "Iterator[VideoFrame]":
    """Decode the frames in the order of presentation, from the first whole one on.

    Raises:
        VideoError: a packet between whole ones is broken, or none is whole.
    """
    import av

    count, fault, of_lead_in = 0, None, None
    has_key = not stream.codec_context.name.startswith(_NEED_KEY)
    for packet in container.demux(stream):
        has_key |= packet.is_keyframe
        if packet.size and not has_key:
            continue
        if packet.size and fault:
            raise VideoError(f"{path}: broken after {count} frames ({fault.strerror}); copy it again or re-encode it")
        try:
            frames = packet.decode()
        except av.InvalidDataError as error:
            frames, of_lead_in = [], error
            fault = error if count or packet.is_keyframe else None  # refused if another packet follows
        for frame in frames:
            count += 1
            yield frame
    if not count:
        reason = f"cannot be decoded ({of_lead_in.strerror})" if of_lead_in else "the video has no frames (zero length)"
        raise VideoError(f"{path}: {reason}; copy it again or re-encode it")


class _PacketFacts(NamedTuple):
    time: int | None
    duration: int
    is_key: bool
    is_shown: bool
    is_corrupt: bool


class _PacketTable(NamedTuple):
    """Packets of the video in the order of decoding, and evidence of missing ones.

    Args:
        packets: those of the video.
        num_indexed: number of them in the file's index.
        num_of_all_streams: number of packets together with sound.
        end: end of the last packet, in bytes from the file's start.
    """

    packets: list[_PacketFacts]
    num_indexed: int
    num_of_all_streams: int
    end: int


def _read_packets(container: "InputContainer", stream: "VideoStream") -> _PacketTable:
    num_indexed = sum(entry.size > 0 for entry in stream.index_entries)  # before reading, which adds to it
    is_vp8 = stream.codec_context.name.startswith(("vp8", "libvpx"))
    packets, count, end = [], 0, 0
    for packet in container.demux():
        count += packet.pts is not None or packet.dts is not None or packet.size > 0  # unlike the one that flushes
        if not packet.size:
            continue
        end = max(end, (packet.pos or 0) + packet.size)
        if packet.stream_index == stream.index:
            is_hidden = packet.is_discard or (is_vp8 and not memoryview(packet)[0] & 16)
            time = packet.pts if _has_presentation_times(container) else packet.dts
            facts = packet.duration or 0, packet.is_keyframe, not is_hidden, packet.is_corrupt
            packets.append(_PacketFacts(time, *facts))
    return _PacketTable(packets, num_indexed, count, end)


def _has_presentation_times(container: "InputContainer") -> bool:
    return container.format.name != "avi"  # with B-frames it has none, and its times of decoding sort as well


def _check_whole(path: Path, container: "InputContainer", stream: "VideoStream", table: _PacketTable) -> None:
    """Refuse a file that lacks packets. The number of frames in a header may be wrong and is not enough."""
    count, is_broken, present = len(table.packets), _has_broken_packet(table.packets), 1.0
    if "matroska" in container.format.name:
        elements = structure(path)
        is_broken |= elements.has_broken_element or elements.num_blocks > table.num_of_all_streams
        present = elements.present
    elif container.format.name == "flv":
        is_broken |= path.stat().st_size - table.end > _TRAILER
    elif container.format.name == "avi":
        present = _present_of_riff(path)
    if is_broken:
        raise VideoError(f"{path}: corrupt, packets between whole ones are broken; copy it again or re-encode it")
    expected = max(table.num_indexed, stream.frames if present < 1 else 0, round(count / present))
    if count < (1 - _MAY_BE_MISSING) * expected:
        raise VideoError(f"{path}: truncated or corrupt, {count} of {expected} frames are there; copy it again")


def _has_broken_packet(packets: Sequence[_PacketFacts]) -> bool:
    """Return whether a packet is marked as corrupt and others follow that need it.

    Concatenated files are marked where they meet, one or two packets before a key frame.
    """
    first = next((number for number, packet in enumerate(packets) if packet.is_key), 0)
    return any(
        packet.is_corrupt and len(packets) > number + 2 and not any(p.is_key for p in packets[number + 1 : number + 3])
        for number, packet in enumerate(packets[first:], start=first)
    )


def _present_of_riff(path: Path) -> float:
    """Return the share of its announced bytes that an AVI file has. A recorder that was cut off announces none."""
    with path.open("rb") as file:
        announced = int.from_bytes(file.read(8)[4:], "little") + 8
    return min(1.0, path.stat().st_size / announced)


def _has_lead_in(packets: Sequence[_PacketFacts]) -> bool:
    """Return whether the first packets refer to frames before the first key frame, and may not be decodable."""
    first = packets[0]
    return not first.is_key or any(p.time is not None and p.time < (first.time or 0) for p in packets[1:_DEEPEST])


def _timeline(packets: Sequence[_PacketFacts], *, unit: float) -> Timeline:
    """Return the times of packets, whose own times are in units of `unit` seconds."""
    if not unit or not _are_times_trusted(packets):
        return Timeline(len(packets), None, 0.0)
    ordered = sorted((packet.time or 0, packet.duration) for packet in packets)
    starts = np.array([time for time, _ in ordered], dtype=float)
    return timeline_of((starts - starts[0]) * unit, last=ordered[-1][1] * unit)


def _are_times_trusted(packets: Sequence[_PacketFacts]) -> bool:
    """Return whether all packets have a time, and no file with other times is appended."""
    if any(packet.time is None for packet in packets):
        return False
    keys = [packet.time or 0 for packet in packets if packet.is_key]
    return all(earlier <= later for earlier, later in zip(keys, keys[1:]))
