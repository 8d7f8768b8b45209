"""Folders of NTU RGB+D: their files, and their differences from the complete data set."""

from dataclasses import dataclass
from pathlib import Path

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import NTU, all_names, parse_name
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.videos.folder import list_videos


@dataclass(frozen=True)
class NtuFolder:
    """The files of a folder by clip name. `videos` is None where the folder has no videos at all."""

    folder: Path
    skeletons: dict[str, Path]
    videos: frozenset[str] | None
    misnamed: tuple[str, ...]

    @property
    def dataset(self) -> str:
        """The synthetic set with synthesize.py's note, `ntu120` with a clip of an action beyond A60, else `ntu60`."""
        if synthetic := synthetic_name(self.folder):
            return synthetic
        return "ntu120" if any(parse_name(name).action > 60 for name in self.skeletons) else "ntu60"


def synthetic_name(folder: Path) -> str:
    """Return the synthetic set that `synthesize.py` made in a folder, by the note in it, or nothing."""
    note = folder / "synthesis.json"
    if not note.exists():
        return ""
    content = read_json(note) if note.stat().st_size else None
    has_world = isinstance(content, dict) and content.get("actions") == 48
    return "synthetic48" if has_world else "synthetic"


def skeleton_folders(folder: Path) -> list[Path]:
    """Return the folders that may hold `.skeleton` files: this one and those in it named after skeletons."""
    sub_folders = sorted(path for path in folder.iterdir() if path.is_dir())
    return [folder, *(path for path in sub_folders if "skeleton" in path.name.lower())]


def find_files(folder: Path) -> NtuFolder:
    """Find `.skeleton` files in the folder and its sub-folders of that name, and videos in those called rgb.

    Raises:
        ValueError: there is no `.skeleton` file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; --ntu names the folder that holds NTU's skeletons/ and rgb/")
    sub_folders = sorted(path for path in folder.iterdir() if path.is_dir())
    searched = skeleton_folders(folder)
    video_folders = [path for path in sub_folders if "rgb" in path.name.lower() and path not in searched]
    if searched == [folder] and any(folder.glob("*_rgb.*")):
        video_folders.append(folder)
    skeletons, misnamed = {}, []
    for path in (file for place in searched for file in sorted(place.glob("*.skeleton"))):
        if _is_name(path.stem):
            skeletons[path.stem] = path
        else:
            misnamed.append(path.name)
    if not skeletons:
        raise ValueError(
            f"{folder}: no NTU .skeleton files in it, nor in skeletons/ or nturgb+d_skeletons/; unpack NTU's skeleton "
            "archive there, or make a synthetic set with data_curation/synthesize.py"
        )
    videos = frozenset(name for place in video_folders for name in list_videos(place))
    return NtuFolder(folder, dict(sorted(skeletons.items())), videos if video_folders else None, tuple(misnamed))


def _is_name(stem: str) -> bool:
    try:
        parse_name(stem)
    except ValueError:
        return False
    return True


def compare(folder: NtuFolder, dataset: str) -> dict[str, list[str]]:
    """Return the differences of a folder from a data set, by kind: lists of clip names."""
    names = set(folder.skeletons)
    listed = open_data_set(dataset).description.without_skeleton
    expected = set(all_names(dataset)) if dataset in NTU else names
    videos = names if folder.videos is None else folder.videos
    kinds = {
        "on_missing_list": names & listed,
        "not_of_this_dataset": names - expected,
        "absent": expected - listed - names,
        "skeleton_without_video": names - videos,
        "video_without_skeleton": videos - names - listed,
        "misnamed": set(folder.misnamed),
    }
    return {kind: sorted(members) for kind, members in kinds.items()}
