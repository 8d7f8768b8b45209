"""The methods that hub users expect of a model, on top of the folder that training writes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from ski_lvlm.sharing.hub import model_folder
from ski_lvlm.sharing.kinds import CARD
from ski_lvlm.sharing.push import push_folder
from ski_lvlm.storage.files import atomic_path

Model = TypeVar("Model", bound="HubModel")


class HubModel:
    """Mixin of trained models: from_pretrained, save_pretrained and push_to_hub.

    A subclass says how it is opened from a folder and written into one. Both are as the commands do it.
    """

    readme: str = ""  # the model card that it was loaded with

    @classmethod
    def from_pretrained(
        cls: type[Model],
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **settings: Any,  # noqa: ANN401
    ) -> Model:
        """Load a trained model in evaluation mode from a folder or by hub id, as `user/name` or `user/name@revision`.

        Raises:
            ValueError: nothing of this kind there, or a frozen part that it rests on has other weights.
        """
        source = {"revision": revision, "token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        folder = model_folder(pretrained_model_name_or_path, **source)  # type: ignore[arg-type]
        model = cls._open(folder, **settings)
        if not isinstance(model, cls):
            raise ValueError(f"{folder}: found a {type(model).__name__}, expected a {cls.__name__}; open it with that")
        card = folder / CARD
        model.readme = card.read_text(encoding="utf-8") if card.is_file() else ""
        return model

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Any,  # noqa: ANN401
    ) -> None:
        """Write the model as training does, with the model card it was loaded with. `hub` is for `push_to_hub`."""
        folder = Path(save_directory)
        self._save(folder)
        write_readme(folder, self.readme)
        if push_to_hub:
            self.push_to_hub(repo_id or folder.resolve().name, **hub)

    def push_to_hub(self, repo_id: str, **hub: Any) -> str:  # noqa: ANN401
        """Push the model to the hub as `push_folder`, which explains `hub`. Return the address of the commit."""
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(Path(folder), repo_id, **hub)

    @classmethod
    def _open(cls, folder: Path, **settings: Any) -> Any:  # noqa: ANN401
        """Load the model of a folder."""
        raise NotImplementedError

    def _save(self, folder: Path) -> None:
        """Write settings and weights."""
        raise NotImplementedError


def write_readme(folder: Path, text: str) -> None:
    """Write a model card that a model was loaded with, if there was one."""
    if text:
        with atomic_path(folder / CARD) as temporary:
            temporary.write_text(text, encoding="utf-8")
