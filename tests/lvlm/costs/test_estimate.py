"""Estimates from shapes alone against real steps of tiny models: kept bytes, peak memory, weights."""

from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig

from ski_lvlm.llm.config import LLAMA_7B, known_config
from ski_lvlm.llm.lean import make_lean
from ski_lvlm.llm.quantisation import num_values, quantise
from ski_lvlm.lvlm.adapter import add_adapter
from ski_lvlm.lvlm.costs.estimate import Plan, estimate, report
from ski_lvlm.lvlm.costs.flags import SampleTokens, sample_tokens
from ski_lvlm.lvlm.costs.step_memory import StepMemory, fake_llm
from ski_lvlm.lvlm.costs.weights import engine_memory, weights_of
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.training.kept_bytes import KeptBytes
from tests.cases.lvlm_case import random_batch
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

TOKENS = {"video": (56, 64), "skeleton": (40, 32)}
WIDTHS = {name: width for name, (_, width) in TOKENS.items()}
ROWS, TEXT, ANSWER = 3, 50, 20
MLP = {name: ProjectorSettings("mlp") for name in TOKENS}
VIDEO = {"video": MLP["video"]}
PLAN = Plan(
    sample=SampleTokens({name: count for name, (count, _) in TOKENS.items()}, TEXT, ANSWER),
    token_widths=WIDTHS,
    projectors=MLP,
    tuning=AdapterRecipe(),
    rows=ROWS,
    gpus=1,
    num_samples=10,
    epochs=2.0,
    is_bf16=False,
    is_checkpointing=False,
    optimiser="adamw_torch",
)


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("llm"), width=128))


def built(llm, plan):
    """Build the model that a plan is about."""
    dtype = torch.bfloat16 if plan.is_bf16 and plan.tuning.train != "llm" else torch.float32
    model = SkiLvlm.build(base_llm=llm, token_widths=WIDTHS, projectors=MLP, dtype=dtype)
    model.video_only_distillation = float(plan.is_distilled)
    if plan.tuning.load_in_4bit:
        quantise(model.llm)
    if plan.tuning.lora_rank:
        add_adapter(model.llm, plan.tuning, base="")
    model.llm.requires_grad_(True) if plan.tuning.train == "llm" else None
    if plan.is_lean:
        make_lean(model.llm)
    if plan.is_checkpointing:
        model.activation_checkpointing_enable()
    return model.train()


def batch(plan):
    whole = random_batch(ROWS, text=TEXT - 3, answer=ANSWER, padding=3, tokens=TOKENS)
    if not plan.is_distilled:
        return whole
    alone = random_batch(ROWS, text=TEXT - 3, answer=ANSWER, padding=3, tokens={"video": TOKENS["video"]})
    return whole | {"video_only": {"batch": alone, "taught": whole["labels"]}}


def loss_of(model, plan, inputs):
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.is_bf16):
        return model(**inputs).loss


def peak_of(model, plan):
    """Return the peak of the memory that PyTorch's allocator gives a step whose gradients are there before."""
    loss_of(model, plan, batch(plan)).backward()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loss_of(model, plan, batch(plan)).backward()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


PLANS = {
    "frozen": {},
    "frozen in bf16": {"is_bf16": True},
    "checkpointing": {"is_checkpointing": True},
    "lean in bf16": {"is_bf16": True, "is_lean": True},
    "LoRA in bf16": {"tuning": AdapterRecipe(lora_rank=8), "is_bf16": True},
    "lean LoRA in bf16": {"tuning": AdapterRecipe(lora_rank=8), "is_bf16": True, "is_lean": True},
    "QLoRA": {"tuning": AdapterRecipe(lora_rank=8, load_in_4bit=True), "is_bf16": True, "is_lean": True},
    "distilled": {"is_distilled": True},
    "distilled lean LoRA in bf16": {
        "tuning": AdapterRecipe(lora_rank=8),
        "is_bf16": True,
        "is_lean": True,
        "is_distilled": True,
    },
    "the whole model": {"tuning": AdapterRecipe(train="llm")},
    "the whole model in bf16": {"tuning": AdapterRecipe(train="llm"), "is_bf16": True, "is_lean": True},
}


@pytest.mark.parametrize("settings", PLANS.values(), ids=PLANS)
def test_memory_of_a_step_is_that_of_a_real_one(llm, settings):
    """Kept bytes within 5 %, the peak of the allocator within 10 %."""
    plan = replace(PLAN, **settings)
    costs, model = estimate(known_config(llm), plan), built(llm, plan)
    with KeptBytes(model) as counter:
        loss_of(model, plan, batch(plan))
    step = costs.one.of(ROWS, costs.two)
    assert step.activations + step.logits == pytest.approx(counter.bytes, rel=0.05)
    assert step.activations + step.logits + step.working == pytest.approx(peak_of(model, plan), rel=0.1)
    assert costs.weights.number == sum(num_values(p) for p in model.parameters())
    assert costs.weights.num_trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_deepspeed_needs_no_copies_of_trained_weights_in_bf16(llm):
    costs = estimate(known_config(llm), replace(PLAN, tuning=AdapterRecipe(train="llm"), is_bf16=True))
    copies = costs.memory(0, ROWS)["activations"] - costs.memory(2, ROWS)["activations"]
    linear = [p for p in fake_llm(known_config(llm), dtype=torch.bfloat16).parameters() if p.ndim > 1]
    assert copies == pytest.approx(sum(p.nbytes for p in linear), rel=0.25), "all but the word embeddings"


def test_memory_grows_by_the_same_with_each_sample():
    one, two = StepMemory(10.0, 1.0, 5.0), StepMemory(18.0, 2.0, 6.0)
    assert [one.of(rows, two) for rows in (1, 2, 4)] == [one, two, StepMemory(34.0, 4.0, 8.0)]


def test_the_largest_batch_fits_and_one_more_does_not(llm):
    costs = estimate(known_config(llm), PLAN)
    room = sum(costs.memory(0, 7).values()) / 1e9
    assert [costs.largest_batch(0, room + extra) for extra in (-1e-6, 1e-6)] == [6, 7]
    assert costs.largest_batch(0, 3.0) == 0, "the reserve alone takes 3 GB"
    assert report(costs)["memory_gb"]["DDP"]["activations"] == costs.memory(0, ROWS)["activations"] / 1e9


def test_a_further_forward_costs_its_own_tokens(llm):
    alone = replace(PLAN, sample=SampleTokens({"video": TOKENS["video"][0]}, TEXT, ANSWER), projectors=VIDEO)
    whole, video, both = (estimate(known_config(llm), plan) for plan in (PLAN, alone, replace(PLAN, is_distilled=True)))
    assert both.flops == whole.flops + video.flops and both.length == whole.length
    assert both.memory(0, 1)["activations"] == pytest.approx(
        whole.memory(0, 1)["activations"] + video.memory(0, 1)["activations"], rel=0.02
    )


def test_projectors_that_shorten_a_clip_leave_the_language_model_less(llm):
    shorter = replace(
        PLAN, projectors={"video": ProjectorSettings("resampler", queries=8), "skeleton": MLP["skeleton"]}
    )
    lengths = [estimate(known_config(llm), plan).length for plan in (PLAN, shorter)]
    assert lengths == [56 + 40 + TEXT, 8 + 40 + TEXT]


def test_projectors_that_are_not_trained_need_no_gradients(llm):
    costs = [estimate(known_config(llm), replace(PLAN, frozen=names)) for names in ((), ("video",))]
    video = 64 * 128 + 128 + 128 * 128 + 128
    assert costs[0].weights.num_trained - costs[1].weights.num_trained == video
    assert costs[0].memory(0, 1)["gradients"] - costs[1].memory(0, 1)["gradients"] == 4 * video


def test_weights_in_4_bits_are_as_large_as_those_of_bitsandbytes(llm):
    model = SkiLvlm.build(base_llm=llm, token_widths={}, dtype=torch.bfloat16)
    fake = fake_llm(known_config(llm), dtype=torch.bfloat16)
    expected = weights_of(fake, [], is_4bit=True)
    assert expected.number == sum(p.numel() for p in model.parameters())
    quantise(model.llm)
    state = [value for p in model.llm.parameters() for value in getattr(p, "quant_state", _Plain).as_dict().values()]
    size = sum(p.nbytes for p in model.llm.parameters()) + sum(v.nbytes for v in state if torch.is_tensor(v))
    assert expected.frozen == pytest.approx(size, rel=0.05)


class _Plain:
    @staticmethod
    def as_dict():
        return {}


def test_the_paper_s_llm_takes_the_memory_that_its_sizes_say():
    """7 billion weights of 2 bytes, and in 4 bits about 3.9 GB."""
    llm = fake_llm(LlamaConfig(**LLAMA_7B), dtype=torch.bfloat16)
    assert weights_of(llm, [], is_4bit=False).frozen == 2 * 6_738_415_616
    assert weights_of(llm, [], is_4bit=True).frozen == pytest.approx(3.87e9, rel=0.01)


def test_engines_share_out_what_their_stage_says():
    llm = fake_llm(LlamaConfig(**LLAMA_7B), dtype=torch.bfloat16)
    add_adapter(llm, AdapterRecipe(lora_rank=16), base="")
    weights = weights_of(llm, [], is_4bit=False)
    settings = {"gpus": 8, "optimiser": "adamw_torch", "bytes_a_weight": 2, "llm_width": 4096}
    ddp, zero2, zero3 = (engine_memory(weights, stage=stage, **settings) for stage in (0, 2, 3))
    n, frozen = weights.num_trained, 2 * 6_738_415_616
    assert (ddp["weights"], ddp["gradients"], ddp["optimiser"]) == (frozen + 4 * n, 4 * n, 8 * n)
    assert (zero2["weights"], zero2["gradients"], zero2["optimiser"]) == (frozen + 2 * n, 2 * n / 8, 12 * n / 8)
    assert zero3["weights"] == zero2["weights"] / 8 and zero3["optimiser"] == zero2["optimiser"]
    with pytest.raises(ValueError, match="--optim lion: its memory is unknown here; estimate with adamw_torch or"):
        engine_memory(weights, stage=0, **settings | {"optimiser": "lion"})


@pytest.mark.parametrize("numbers", [[1, 2, 3], [356, 256, 150, 0], [356, 256, 60, 150], [-1, 256, 150, 60]])
def test_a_sample_that_cannot_be_is_refused(numbers):
    with pytest.raises(ValueError, match="--sample_tokens .*expected four numbers"):
        sample_tokens(numbers, ["video", "skeleton"])
