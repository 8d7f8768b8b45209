"""A stand-in for Liger: it changes what Liger changes, and no Triton is needed."""

import logging
import sys
from textwrap import dedent

import pytest
import torch

from ski_lvlm.llm import kernels
from ski_lvlm.llm.kernels import apply_liger, choose_kernels
from ski_lvlm.llm.loading import load_llm
from tests.cases.lvlm_case import write_case
from tests.cases.lvlm_commands import projectors, same, train_here
from tests.cases.tiny_llm import tiny_llm

LIGER = """
    calls = []

    def _apply_liger_kernel_to_instance(model, **settings):
        calls.append((model.config.model_type, settings))
        if model.config.model_type != "llama":
            return
        for module in model.modules():
            if type(module).__name__ in ("LlamaRMSNorm", "LlamaMLP"):
                module.__dict__["forward"] = type(module).forward.__get__(module)
"""


@pytest.fixture
def liger(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "liger_kernel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "transformers.py").write_text(dedent(LIGER))
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(kernels, "has_gpu", lambda: True)
    import liger_kernel.transformers as module

    yield module
    for name in ("liger_kernel", "liger_kernel.transformers"):
        sys.modules.pop(name)


@pytest.fixture
def llm(tmp_path):
    return load_llm(str(tiny_llm(tmp_path / "llm"))).model


def test_liger_reaches_the_language_model_but_not_its_loss(liger, llm):
    assert apply_liger(llm, {"rope": False, "fused_linear_cross_entropy": True}) == 7
    assert liger.calls == [("llama", {"rope": False, "fused_linear_cross_entropy": False, "cross_entropy": False})]
    assert "forward" not in vars(llm)


def test_liger_that_changes_nothing_stops_the_run(liger, llm):
    llm.config.model_type = "gpt2"
    with pytest.raises(ValueError, match="Liger changed nothing in a model of type 'gpt2'; leave --use_liger_kernel"):
        choose_kernels(llm, is_liger=True)


def test_liger_needs_its_package_and_a_gpu(llm, liger, monkeypatch):
    monkeypatch.setattr(kernels, "has_gpu", lambda: False)
    with pytest.raises(ValueError, match="there is none"):
        choose_kernels(llm, is_liger=True)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", None)
    with pytest.raises(ImportError, match="pip install liger-kernel, or leave"):
        choose_kernels(llm, is_liger=True)


@pytest.mark.parametrize(("settings", "message"), [
    ({"lean": "on", "is_liger": True}, "leave one of them out"),
    ({"lean": "on"}, "'llama' has no norm and no gated MLP of a known structure"),
])  # fmt: skip
def test_a_wish_that_cannot_be_met_is_refused(llm, settings, message):
    choose_kernels(llm, lean="on")
    with pytest.raises(ValueError, match=message):
        choose_kernels(llm, **settings)  # nothing is left to change


def test_off_changes_nothing_and_auto_says_what_it_changes(llm, caplog):
    caplog.set_level(logging.INFO)
    choose_kernels(llm, lean="off")
    assert not any("forward" in vars(module) for module in llm.modules())
    choose_kernels(llm)
    assert "5 norms, 2 gates and 0 adapters" in caplog.text


@pytest.mark.slow
def test_the_command_trains_the_same_projectors_whatever_computes_them(tmp_path, liger):
    """Also with Liger, which is asked once and for the language model alone."""
    case = write_case(tmp_path)
    for name, settings in {
        "lean": {},
        "off": {"lean": "off"},
        "bf16": {"bf16": True},
        "bf16_off": {"bf16": True, "lean": "off"},
        "liger": {"use_liger_kernel": True},
    }.items():
        torch.manual_seed(0)
        train_here(case, tmp_path / name, num_train_epochs=2, **settings)
    for a, b in (("lean", "off"), ("lean", "liger"), ("bf16", "bf16_off")):
        assert same(projectors(tmp_path / a), projectors(tmp_path / b)), (a, b)
    assert not same(projectors(tmp_path / "lean"), projectors(tmp_path / "bf16"))
    assert [kind for kind, _ in liger.calls] == ["llama"]
