"""A folder of a trained model on its way to the hub."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ski_lvlm.sharing.kinds import CARD, CONFIG, WEIGHTS, kind_of, model_files
from ski_lvlm.sharing.model_card import write_model_card
from ski_lvlm.sharing.public_settings import public_settings
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.weight_files import check_weights

_VOCABULARIES = ("tokenizer.json", "vocab.json")  # of a language model, which name no folder


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    bases: Mapping[str, str] | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
) -> str:
    """Push the model in a folder to the hub, and return the address of the commit.

    Checkpoints, logs and results stay here. `bases` gives hub ids for bases that are paths of this machine. The other
    arguments are those of `HfApi.create_repo` and `HfApi.upload_folder`. A branch `revision` is made if need be.

    Raises:
        ValueError: no whole model, a base without a hub id, no token, or the hub refuses.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HTTPError

    if token in (None, True) and get_token() is None:
        raise ValueError("found no token for the hub, expected one: run `hf auth login`, or set HF_TOKEN")
    with TemporaryDirectory() as temporary:
        write_public_copy(folder, Path(temporary), bases or {})
        api = HfApi(token=token)
        try:
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=temporary,
                commit_message=commit_message or f"Upload {kind_of(folder).title}",
                revision=revision,
                create_pr=create_pr,
            )
        except (HTTPError, OSError) as error:
            raise ValueError(
                f"could not push {folder} to {repo_id!r} ({' '.join(str(error).split())[:300]}); expected a hub that "
                "can be reached and a token with write access to that name"
            ) from error
    return str(commit)


def write_public_copy(folder: Path, out: Path, bases: Mapping[str, str]) -> None:
    """Write the files of a model to `out` as they can leave the machine. Weights are linked and not copied.

    Raises:
        ValueError: no whole model, or a base without a hub id.
    """
    kind = kind_of(folder)
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder}: found no {WEIGHTS}, expected a finished {kind.title}; train to the end first")
    for path in model_files(folder):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json" and path.name not in _VOCABULARIES:
            write_json(out / path, public_settings(read_json(folder / path), bases, file=str(path)))
        else:
            (out / path).symlink_to((folder / path).resolve())
    for place in {out, *(path.parent for path in out.rglob("*.safetensors"))}:
        check_weights(place)
    if not (out / CONFIG).is_file():  # of students and encoders that were trained before it was written
        write_json(out / CONFIG, {"model_type": kind.model_type})
    if not (out / CARD).is_file():
        write_model_card(out)
