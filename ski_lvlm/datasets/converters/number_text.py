"""Tables of numbers in text files, separated by spaces, tabs or commas."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ski_lvlm.storage.text_files import read_bytes


def read_numbers(file: Path) -> Float32[np.ndarray, "rows columns"]:
    """Return the numbers of a text file, line by line. NaN is a number.

    Raises:
        ValueError: the file is empty, cut off within a line, or holds anything but numbers.
    """
    text = read_bytes(file).replace(b",", b" ")
    if not text.strip():
        raise ValueError(f"{file}: is empty; expected lines of numbers: copy it again")
    try:
        return np.loadtxt(BytesIO(text), np.float32, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{file}: not lines of equally many numbers ({error}); it is damaged: copy it again"
        ) from error
