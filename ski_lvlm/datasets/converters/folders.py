"""Videos in one sub-folder a class, such as `wave/a.mp4` and `sit down/b.mp4`: a data set of one's own."""

from pathlib import Path

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import none_of
from ski_lvlm.storage.digests import digest_number
from ski_lvlm.videos.folder import list_videos

_TEST_SHARE = 0.3


def convert(root: Path) -> Conversion:
    """Return the videos of a folder. The first sub-folder of a video is its class.

    About 30 % of each class are for testing, at least one of two or more, by a digest of their names. The column `part`
    says so and may be edited.

    Raises:
        ValueError: there is no video in a sub-folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; --root names the folder that holds one sub-folder a class")
    by_class: dict[str, list[str]] = {}
    folder_of: dict[str, str] = {}
    skipped: dict[str, str] = {}
    videos = list_videos(root)
    for name, file in videos.items():
        folders = file.relative_to(root).parts[:-1]
        if folders:
            by_class.setdefault(_spoken(folders[0]), []).append(name)
            folder_of.setdefault(_spoken(folders[0]), folders[0])
        else:
            skipped[str(file)] = "lies in no sub-folder, so its class is unknown; move it into one"
    if not by_class:
        raise none_of(root, "videos in one sub-folder a class, such as wave/a.mp4")
    clips: list[Row] = []
    for spoken, names in sorted(by_class.items()):
        tested = _tested(names)
        parts = {name: "test" if name in tested else "train" for name in names}
        clips += [
            {"clip": name, "class": folder_of[spoken], "video": str(videos[name].resolve()), "part": part}
            for name, part in parts.items()
        ]
    description = {
        "name": root.resolve().name,
        "classes": [{"id": folder_of[spoken], "name": spoken} for spoken in sorted(by_class)],
        "protocols": {"part": {"train": {"part": "train"}, "test": {"part": "test"}}},
    }
    return Conversion(description, clips, list(videos.values()), skipped)


def _spoken(folder: str) -> str:
    """Return a folder's name with spaces for underscores, as class texts need it."""
    return " ".join(folder.replace("_", " ").split()) or folder


def _tested(names: list[str]) -> set[str]:
    """Return the clips for testing: those with the lowest digests."""
    count = max(round(_TEST_SHARE * len(names)), 1) if len(names) > 1 else 0
    return set(sorted(names, key=digest_number)[:count])
