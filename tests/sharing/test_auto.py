"""AutoModel of transformers and our models: by type, in any order of imports, and without code from outside."""

import sys

import pytest
import torch
from transformers import AutoConfig, AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ski_lvlm.auto.import_hook import register_when_imported
from ski_lvlm.dual_encoders.skeleton_classifier import SkeletonClassifier
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.vificlip import ViFiCLIP
from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.model import SkiLvlm
from tests.cases.command_case import run
from tests.cases.recognition_case import encoder_run, whole_run
from tests.cases.tiny_llm import tiny_llm


def test_a_ski_lvlm_opens_with_its_settings(tmp_path):
    SkiLvlm.build(base_llm=str(tiny_llm(tmp_path / "llm")), token_widths={"video": 12}).save_pretrained(tmp_path / "m")
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "m"), SkiLvlmConfig)
    model = AutoModel.from_pretrained(tmp_path / "m", dtype=torch.bfloat16)
    assert isinstance(model, SkiLvlm) and model.llm.dtype == torch.bfloat16 and not model.training


def test_students_and_skeleton_models_open(tmp_path):
    whole_run(tmp_path / "run", tmp_path / "clip")
    assert isinstance(AutoModel.from_pretrained(tmp_path / "run"), ViFiCLIP)
    assert isinstance(AutoModel.from_pretrained(tmp_path / "run" / "skeleton_clip"), SkeletonCLIP)
    assert isinstance(AutoModel.from_pretrained(encoder_run(tmp_path / "encoder")), SkeletonClassifier)


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    run_folder = encoder_run(tmp_path / "encoder")
    code = '{"model_type": "ski_skeleton_encoder", "auto_map": {"AutoModel": "evil.Model"}}'
    (run_folder / "config.json").write_text(code)
    (run_folder / "evil.py").write_text("raise SystemExit('run')")
    assert isinstance(AutoModel.from_pretrained(run_folder), SkeletonClassifier)


def test_types_are_registered_at_once_behind_the_import_of_transformers(monkeypatch):
    monkeypatch.setattr(CONFIG_MAPPING, "_extra_content", {})
    register_when_imported()
    assert {"ski_lvlm", "ski_video_llm", "ski_student", "ski_skeleton_text"} <= set(CONFIG_MAPPING)


@pytest.mark.slow
def test_importing_the_package_imports_nothing_and_registers_later():
    lines = (
        "import ski_lvlm, sys",
        "assert not {'torch', 'transformers'} & set(sys.modules)",
        "from transformers.models.auto.configuration_auto import CONFIG_MAPPING",
        "assert 'ski_student' in CONFIG_MAPPING",
    )
    done = run([sys.executable, "-c", "\n".join(lines)])
    assert done.returncode == 0, done.stderr
