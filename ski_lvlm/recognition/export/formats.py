"""Formats of a network for other runtimes: how each is written, opened and run."""

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.recognition.export.classifier import ClipClassifier

Run = Callable[[Tensor], Tensor]  # frames [B T 3 S S] to logits [B C]

_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ONE_FILE = 1.8e9  # bytes: a protobuf message ends at 2 GiB


class Format(NamedTuple):
    """A file format: the end of file names, and functions that write and open a file."""

    suffix: str
    write: Callable[[torch.export.ExportedProgram, Path], None]
    open: Callable[[Path], Run]


def program_of(classifier: ClipClassifier, frames: UInt8[Tensor, "B T 3 S S"]) -> torch.export.ExportedProgram:
    """Trace a classifier for any number of clips at a time. `frames` are two clips of the right size."""
    with torch.no_grad():
        return torch.export.export(classifier, (frames,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))


def check_packages(form: str) -> None:
    """Make sure that the packages of a format are installed.

    Raises:
        ImportError: the message names what is missing.
    """
    packages = _ONNX_PACKAGES if form == "onnx" else ()
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ImportError(
            f"--to onnx needs {', '.join(missing)}, expected the extra 'export'; run: python -m pip install -e "
            '".[export]" -c constraints.txt, or give --to exported_program, which needs nothing more'
        )


def _write_program(program: torch.export.ExportedProgram, file: Path) -> None:
    torch.export.save(program, file)


def _open_program(file: Path) -> Run:
    module = torch.export.load(file).module()

    def run(frames: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(frames)
        return logits

    return run


def _write_onnx(program: torch.export.ExportedProgram, file: Path) -> None:
    size = sum(tensor.nbytes for tensor in (*program.state_dict.values(), *program.constants.values()))
    if size > _ONE_FILE:
        raise ValueError(
            f"found weights of {size / 1e9:.1f} GB, expected at most {_ONE_FILE / 1e9:g} GB in one ONNX file; give "
            "--to exported_program, or a smaller --backbone in training"
        )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of every operator of an absent torchvision
    torch.onnx.export(
        program, (), file, input_names=["frames"], output_names=["logits"], external_data=False, verbose=False
    )


def _open_onnx(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting would count as CPU time
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(frames: UInt8[Tensor, "B T 3 S S"]) -> Float[Tensor, "B C"]:
        return torch.from_numpy(session.run(["logits"], {"frames": frames.numpy()})[0])

    return run


FORMATS = {
    "onnx": Format(".onnx", _write_onnx, _open_onnx),
    "exported_program": Format(".pt2", _write_program, _open_program),
}
