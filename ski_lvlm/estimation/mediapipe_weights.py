"""Networks of the package mediapipe, run in LiteRT. MediaPipe itself is never imported."""

import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_INSTALL = "python -m pip install --no-deps -r requirements-offline.txt"


def load_network(weights: str) -> "tuple[Interpreter, str]":
    """Return a network on one thread of the CPU, and the version of mediapipe.

    Args:
        weights: path of its file in mediapipe's modules.

    Raises:
        ImportError: mediapipe's weights or LiteRT are not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        package = importlib.metadata.distribution("mediapipe")
    except ImportError as error:
        raise ImportError(f"blazepose needs mediapipe's weights and LiteRT; run: {_INSTALL}") from error
    network = Interpreter(str(package.locate_file(f"mediapipe/modules/{weights}")), num_threads=1)
    network.allocate_tensors()
    return network, package.version
