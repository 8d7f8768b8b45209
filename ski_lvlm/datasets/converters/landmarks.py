"""Lists of landmarks that MediaPipe writes for each frame, pickled in NumPy files, read without MediaPipe.

Each is a message of Google's protocol buffers. Nothing of the pickle is run.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from jaxtyping import Float32

from ski_lvlm.storage.array_files import read_objects

_CLASS = ("mediapipe.framework.formats.landmark_pb2", "NormalizedLandmarkList")
_NUMBERS = ("x", "y", "z", "visibility")


class _Message:
    """The bytes of a message, in the place of MediaPipe's class."""

    content = b""

    def __setstate__(self, state: dict[str, Any]) -> None:
        content = state.get("serialized", b"")
        self.content = content.encode("latin1") if isinstance(content, str) else bytes(content)


def read_landmarks(file: Path, *, count: int) -> Float32[np.ndarray, "T J 4"]:
    """Return x, y, z and visibility of each frame's landmarks.

    x and y are shares of the picture's width and height, y points down, and z has the unit of x.

    Raises:
        ValueError: the file is damaged, holds something else, or a frame has another number of landmarks than `count`.
    """
    objects = read_objects(file, {_CLASS: _Message}).ravel()
    if not len(objects) or not all(isinstance(message, _Message) for message in objects):
        kinds = sorted({type(message).__name__ for message in objects}) or "no frame"
        raise ValueError(f"{file}: found {kinds}; expected MediaPipe's landmarks in each frame")
    frames = [_numbers(message.content, file, count) for message in objects]
    return np.array(frames, np.float32)


def _numbers(content: bytes, file: Path, count: int) -> list[list[float]]:
    try:
        landmarks = _list_class().FromString(content).landmark
    except DecodeError as error:
        raise ValueError(f"{file}: a frame is damaged ({error}); copy it again") from error
    if len(landmarks) != count:
        raise ValueError(f"{file}: found {len(landmarks)} landmarks in a frame; expected {count}")
    return [[getattr(landmark, name) for name in _NUMBERS] for landmark in landmarks]


@lru_cache(maxsize=1)
def _list_class() -> Any:  # noqa: ANN401
    """Return the class of a list of landmarks, with the field numbers of MediaPipe's landmark.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="landmarks.proto", package="landmarks", syntax="proto2")
    landmark = file.message_type.add(name="Landmark")
    field = descriptor_pb2.FieldDescriptorProto
    for number, name in enumerate(_NUMBERS, start=1):
        landmark.field.add(name=name, number=number, type=field.TYPE_FLOAT, label=field.LABEL_OPTIONAL)
    landmarks = file.message_type.add(name="Landmarks")
    landmarks.field.add(
        name="landmark",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".landmarks.Landmark",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("landmarks.Landmarks"))
