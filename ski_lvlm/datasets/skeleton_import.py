"""Import of skeletons that labs already have: CTR-GCN's and Hyperformer's `.npz`, pyskl's pickle, plain arrays.

All files are streamed clip by clip. A clip that cannot be used comes with the error. An absent person, zeros in these
files, becomes NaN. The joint layout is given by name, and joints are never made up.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from einops import rearrange
from jaxtyping import Float, Float32, Int

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import ClipName, NtuName, names_with_skeleton, parse_name
from ski_lvlm.datasets.reading import LoadedClip, load_clip
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import Layout
from ski_lvlm.skeletons.preprocessing import is_present, whole_joints
from ski_lvlm.storage.array_files import array_fault
from ski_lvlm.storage.clip_names import ClipIndex
from ski_lvlm.storage.safe_pickle import load_arrays

# The numbers of training and test clips tell the protocol of a published file. Within a part its clips are ordered by
# the field that the protocol divides, then by name.
_PROTOCOL_BY_COUNT: dict[tuple[int, int], tuple[NtuName, str, Callable[[ClipName], int]]] = {
    (40091, 16487): ("ntu60", "xsub", lambda clip: clip.performer),
    (37646, 18932): ("ntu60", "xview", lambda clip: clip.camera),
    (63026, 50919): ("ntu120", "xsub", lambda clip: clip.performer),
    (54468, 59477): ("ntu120", "xset", lambda clip: clip.setup),
}


Joints = Float32[np.ndarray, "T M J D"]
PreparedClip = LoadedClip[Joints]


def import_skeletons(path: Path, *, layout: Layout) -> tuple[str, Iterator[PreparedClip]]:
    """Return the name of the cleaning of a file's skeletons, and the skeletons.

    `path` is a CTR-GCN or Hyperformer `.npz`, a pyskl `.pkl`, one `.npy` or `.npz` array of shape (T, J, 3) or
    (M, T, J, 3), or a folder of such arrays, named after their clips.

    Raises:
        ValueError: the file is damaged or of no such kind.
    """
    path = Path(path)
    if path.is_dir():
        return "as given", _arrays(sorted([*path.glob("*.npy"), *path.glob("*.npz")]), path, layout)
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder; give --import_from an .npz, .npy or .pkl file or a folder")
    if path.suffix == ".pkl":
        return "pyskl", _pyskl(path, layout)
    if path.suffix == ".npz" and "x_train.npy" in _members(path):
        return CLEANING, _ctrgcn(path, layout)
    if path.suffix in (".npy", ".npz"):
        return "as given", _arrays([path], path, layout)
    raise ValueError(f"{path}: found {path.suffix or 'no'} extension; expected .npz, .npy or .pkl, or a folder")


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: not a readable .npz ({error}); it is cut off or damaged: copy it again") from error


def _usable(name: str, *, joints: np.ndarray, layout: Layout) -> Joints:
    """Check joints (T, M, J, D), turn persons of zeros to NaN, and drop empty persons and frames."""
    if joints.shape[2:] != (layout.num_joints, layout.dimensions):
        raise ValueError(
            f"{name}: found {joints.shape[2]} joints with {joints.shape[3]} coordinates; the layout {layout.name} has "
            f"{layout.num_joints} with {layout.dimensions}: give the --layout that the file has (none is ever made up)"
        )
    joints = joints.astype(np.float32)
    joints[(joints == 0).all(axis=(2, 3))] = np.nan
    joints = whole_joints(joints, layout=layout)
    present = is_present(joints)
    persons = present.any(axis=0)
    if not 1 <= persons.sum() <= 2:
        raise ValueError(f"{name}: found {persons.sum()} persons; expected one or two: leave the others out")
    return joints[:, persons][present.any(axis=1)]


def _arrays(paths: list[Path], source: Path, layout: Layout) -> Iterator[PreparedClip]:
    if not paths:
        raise ValueError(f"{source}: no .npy or .npz in the folder; expected one array a clip")
    by_name = ClipIndex([path.name for path in paths], endings=("_skeleton",)).clips
    files = {name: paths[0].with_name(file) for name, file in by_name.items()}
    yield from (load_clip(name, partial(_from_file, files=files, layout=layout)) for name in files)


def _from_file(name: str, *, files: Mapping[str, Path], layout: Layout) -> Joints:
    array = _one_array(files[name])
    persons_first = array if array.ndim == 4 else array[None]
    return _usable(name, joints=rearrange(persons_first, "m t j c -> t m j c"), layout=layout)


def _one_array(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded:
                if len(loaded.files) != 1:
                    raise ValueError(f"{path}: found the arrays {loaded.files}; expected one array of joints")
                loaded = loaded[loaded.files[0]]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        fault = array_fault(path, error, remedy="copy it again")
        raise ValueError(f"{path}: not a readable array of joints: {fault}") from error
    if loaded.ndim not in (3, 4):
        raise ValueError(f"{path}: found shape {loaded.shape}; expected (T, J, 3) or (M, T, J, 3)")
    return loaded


def _pyskl(path: Path, layout: Layout) -> Iterator[PreparedClip]:
    content = load_arrays(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError(f"{path}: expected pyskl's dictionary with a list of 'annotations'; is it another pickle?")
    for number, annotation in enumerate(content["annotations"]):
        keypoint, name = annotation.get("keypoint"), annotation.get("frame_dir")
        if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4 or not isinstance(name, str):
            raise ValueError(
                f"{path}: annotation {number} has no 'frame_dir' or no 'keypoint' array of shape (M, T, V, C)"
            )
        joints = rearrange(keypoint, "m t v c -> t m v c")
        yield load_clip(name, partial(_usable, joints=joints, layout=layout))


def _ctrgcn(path: Path, layout: Layout) -> Iterator[PreparedClip]:
    with zipfile.ZipFile(path) as archive:
        labels = {part: _array(archive, f"y_{part}.npy").argmax(axis=1) for part in ("train", "test")}
        names = _ctrgcn_names(archive, labels, path)
        for part in ("train", "test"):
            for name, row in zip(names[part], _rows(archive, f"x_{part}.npy"), strict=True):
                yield load_clip(name, partial(_from_150, row=row, layout=layout))


def _from_150(name: str, *, row: Float[np.ndarray, "F values"], layout: Layout) -> Joints:
    if row.shape[1] != 2 * layout.num_joints * layout.dimensions:
        raise ValueError(
            f"{name}: found {row.shape[1]} numbers a frame; two persons of the layout {layout.name} have "
            f"{2 * layout.num_joints * layout.dimensions}: give the --layout that the file has"
        )
    joints = rearrange(row, "t (m j c) -> t m j c", m=2, c=layout.dimensions)
    is_alone = np.array_equal(joints[:, 0], joints[:, 1])  # the NTU120 script repeats a person who is alone
    return _usable(name, joints=joints[:, :1] if is_alone else joints, layout=layout)


def _array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    if member not in archive.namelist():
        raise ValueError(f"{archive.filename}: no {member[:-4]} in the file; expected x_ and y_ of train and test")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _rows(archive: zipfile.ZipFile, member: str) -> Iterator[Float[np.ndarray, "F values"]]:
    """Yield one clip after the other, because the whole array is up to 11 GB."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file)
        if len(shape) != 3 or fortran or dtype.kind != "f":
            raise ValueError(f"{archive.filename}: {member} is {dtype} {shape}; expected (clips, frames, 150) floats")
        size = shape[1] * shape[2] * dtype.itemsize
        for _ in range(shape[0]):
            yield np.frombuffer(file.read(size), dtype).reshape(shape[1:])


def _ctrgcn_names(
    archive: zipfile.ZipFile, labels: dict[str, Int[np.ndarray, " n"]], path: Path
) -> dict[str, list[str]]:
    """Return the clips' names, from the file if it has them, else from the order of the published scripts."""
    if "files_train.npy" in archive.namelist():
        stored = {part: _array(archive, f"files_{part}.npy") for part in ("train", "test")}
        names = {p: [n.decode() if isinstance(n, bytes) else str(n) for n in a.tolist()] for p, a in stored.items()}
    else:
        names = _derived_names((len(labels["train"]), len(labels["test"])), path)
    for part, clip_names in names.items():
        if [parse_name(name).action - 1 for name in clip_names] != labels[part].tolist():
            raise ValueError(
                f"{path}: y_{part} does not agree with the clips' names, so the skeletons cannot be told apart; add "
                "the arrays files_train and files_test with the clips' names, or prepare from the .skeleton files"
            )
    return names


def _derived_names(counts: tuple[int, int], path: Path) -> dict[str, list[str]]:
    if counts not in _PROTOCOL_BY_COUNT:
        raise ValueError(
            f"{path}: {counts[0]} training and {counts[1]} test clips fit no NTU protocol, and the file has no names; "
            "add the arrays files_train and files_test with the clips' names"
        )
    dataset, protocol, divided_by = _PROTOCOL_BY_COUNT[counts]
    names = sorted(names_with_skeleton(dataset), key=lambda name: (divided_by(parse_name(name)), name))
    data = open_data_set(dataset)
    rule = data.protocol(protocol)
    assert rule
    is_train = data.is_train(names, rule)
    return {
        part: [name for name, trains in zip(names, is_train, strict=True) if trains == (part == "train")]
        for part in ("train", "test")
    }
