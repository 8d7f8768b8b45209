"""Videos as cameras, phones and editors write them. Frame t is a flat grey of 8 + 4 t, as in video_case."""

import struct
from fractions import Fraction

import av
import numpy as np

from tests.cases.video_case import numbered

X264 = {"crf": "1", "preset": "ultrafast"}


def encode(path, frames, *, codec="libx264", pixels="yuv420p", options=(), times=None, before=None, **mux):
    """Write frames at `times` in seconds. `before` may change the stream. `mux` are options of the muxer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = Fraction(1, 1000)
    with av.open(str(path), "w", options=mux) as container:
        encoder_options = X264 if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options={**encoder_options, **dict(options)})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if times is not None:
            stream.codec_context.time_base = unit
        if before is not None:
            before(stream)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / unit), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_packets(source, target, *, first=0, begin=None, change=bytes, **mux):
    """Write the packets of a file again, from number `first` on, with times counted from second `begin`, changed."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=mux) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        shift = 0 if begin is None else int(begin / stream.time_base)
        for number, old_packet in enumerate(p for p in old.demux(stream) if p.size):
            if number >= first:
                packet = av.Packet(change(old_packet))
                packet.is_keyframe, packet.time_base, packet.stream = old_packet.is_keyframe, stream.time_base, copy
                packet.pts = None if old_packet.pts is None else old_packet.pts - shift
                packet.dts = None if old_packet.dts is None else old_packet.dts - shift
                new.mux(packet)
    return target


def set_avi_count(path, count):
    """Let the headers of an AVI file announce so many frames."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 24), (b"strh", 40)):
        at = content.find(mark) + offset
        content[at : at + 4] = struct.pack("<I", count)
    path.write_bytes(content)
    return path


def packet_places(path):
    """Return position and size of each packet of the video, in bytes."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(container.streams.video[0]) if packet.size]


def damage(path, *, start, size):
    """Write noise over a part of a file."""
    content = bytearray(path.read_bytes())
    content[start : start + size] = np.random.default_rng(0).bytes(min(size, len(content) - start))
    path.write_bytes(content)
    return path


def noisy(count, *, height=48, width=64):
    """Numbered frames with noise, so that packets are not tiny."""
    noise = np.random.default_rng(0).integers(-6, 7, (count, height, width, 3))
    return (numbered(count, height=height, width=width) + noise).clip(0, 255).astype(np.uint8)


def scaled_numbers(video):
    """Return the numbers of scaled frames, which FFmpeg makes darker by a level or two."""
    return [round((float(frame.float().mean()) - 8) / 4 + 0.35) for frame in video]


def colours(image):
    """Return the first letters of the colours of an image in quarters (k: black): top left, top right, and below."""
    height, width = image.shape[-2:]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    pixels = [image[:, y, x] for y, x in places]
    return "".join("RGB"[int(pixel.argmax())] if pixel.max() > 60 else "k" for pixel in pixels)
