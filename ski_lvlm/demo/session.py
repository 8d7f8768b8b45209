"""The clip of one visitor, in a folder of its own that is removed when the visitor leaves."""

import shutil
import tempfile
from pathlib import Path

from ski_lvlm.demo.clips import Limits, check_clip, playable_copy
from ski_lvlm.videos.decoding import VideoInfo


class Session:
    """A visitor's clip: `clip` is the file that models read, and `playable` the one that the browser plays."""

    def __init__(self, folder: Path, clip: Path, playable: Path) -> None:
        self.folder, self.clip, self.playable = folder, clip, playable

    @classmethod
    def of_upload(cls, file: Path, home: Path, limits: Limits) -> "Session":
        """Move an uploaded file into a new folder below `home`. A clip that cannot be used is removed.

        Raises:
            ClipError: it cannot be used.
        """
        try:
            info = check_clip(file, limits)
            folder = Path(tempfile.mkdtemp(dir=home))
            clip = Path(shutil.move(file, folder / f"upload{file.suffix.lower()}"))
        finally:
            file.unlink(missing_ok=True)
        return cls._playing(folder, clip, info)

    @classmethod
    def of_example(cls, file: Path, home: Path) -> "Session":
        """Open one of the server's clips, which stays where it is."""
        return cls._playing(Path(tempfile.mkdtemp(dir=home)), file, check_clip(file, Limits()))

    @classmethod
    def _playing(cls, folder: Path, clip: Path, info: VideoInfo) -> "Session":
        try:
            return cls(folder, clip, playable_copy(clip, info, folder))
        except ValueError:
            shutil.rmtree(folder)
            raise

    def remove(self) -> None:
        """Remove the folder, and an upload with it."""
        shutil.rmtree(self.folder, ignore_errors=True)
