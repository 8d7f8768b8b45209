"""A double of the Hugging Face hub: repositories are folders, and no request is made.

It stands in for the functions of huggingface_hub that the package calls. Files are filtered by huggingface_hub's rules.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import filter_repo_objects


class HubDouble:
    """Repositories as folders `user/name/BRANCH`, and what was asked of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.private, self.messages = folder, {}, []

    def files(self, repo_id: str, branch: str = "main") -> list[str]:
        place = self.folder / repo_id / branch
        return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        repo_id = repo_id if "/" in repo_id else f"me/{repo_id}"
        (self.folder / repo_id / "main").mkdir(parents=True, exist_ok=exist_ok)
        self.private[repo_id] = private
        return SimpleNamespace(repo_id=repo_id)

    def create_branch(self, repo_id, *, branch, exist_ok=False):
        (self.folder / repo_id / branch).mkdir(exist_ok=exist_ok)

    def upload_folder(self, *, repo_id, folder_path, commit_message, revision=None, create_pr=False):
        self.messages.append(commit_message)
        shutil.copytree(folder_path, self.folder / repo_id / (revision or "main"), dirs_exist_ok=True)
        return f"double://{repo_id}/commit/{len(self.messages)}"

    def snapshot_download(self, repo_id, *, revision=None, allow_patterns=None, **_):
        answer = SimpleNamespace(status_code=404, headers={}, request=None)
        if not (self.folder / repo_id).is_dir():
            raise RepositoryNotFoundError(f"no repository {repo_id}", response=answer)
        if not (self.folder / repo_id / (revision or "main")).is_dir():
            raise RevisionNotFoundError(f"no revision {revision}", response=answer)
        source, target = self.folder / repo_id / (revision or "main"), self.folder / "cache" / repo_id
        for path in filter_repo_objects(self.files(repo_id, revision or "main"), allow_patterns=allow_patterns):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target / path)
        target.mkdir(parents=True, exist_ok=True)
        return str(target)


def open_hub(monkeypatch, folder: Path, *, token: str | None = "hf_double") -> HubDouble:
    """Put a double in place of the hub."""
    hub = HubDouble(folder)
    for name in ("create_repo", "create_branch", "upload_folder"):
        method = getattr(hub, name)
        monkeypatch.setattr(f"huggingface_hub.HfApi.{name}", lambda _, *args, _m=method, **kw: _m(*args, **kw))
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    return hub
