"""Self-distillation: a toy by hand, gradients, rows, truncation, operations."""

import math

import pytest
import torch

from ski_lvlm.datasets.instruction_file import Turn, read_instructions
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS, Encoded
from ski_lvlm.llm.packed_rows import prepare_rows
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.distillation import check_distillation, divergence, video_only_sample
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.flops import BatchWork
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.recipe import AdapterRecipe, SkiLvlmRecipe
from tests.cases.lvlm_case import CLIPS, TOKENS, counted_flops, write_features, write_instructions
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}
PAD, PACK = InstructCollator(0, WIDTHS), InstructCollator(0, WIDTHS, packing=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    model = SkiLvlm.build(base_llm=str(tiny_llm(tmp_path_factory.mktemp("llm"))), token_widths=WIDTHS).train()
    model.video_only_distillation = 1.0
    return model


def dataset(model, folder, *, video_only=CLIPS[:1], **settings):
    """Make four samples, of which the first has no skeleton and the second a second answer."""
    conversations = read_instructions(write_instructions(folder / "i.json", video_only=video_only))
    more = (Turn("user", "And then?"), Turn("assistant", "It ends."))
    conversations[1] = conversations[1]._replace(turns=(*conversations[1].turns, *more))
    features = FeatureFolder(write_features(folder / "features"))
    settings = SampleSettings(is_distilled=True, **settings)
    return InstructDataset(conversations, features, model.tokenizer, settings)


@pytest.fixture
def samples(model, tmp_path):
    data = dataset(model, tmp_path)
    return [data[k] for k in range(len(data))]


def gradients(model, batch, **options):
    model.zero_grad()
    model(**batch, **options).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def without(batch):
    return {name: value for name, value in batch.items() if name != "video_only"}


def test_the_divergence_of_a_toy_is_that_by_hand():
    teacher, student = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log(), torch.tensor([[0.9, 0.1], [0.25, 0.75]]).log()
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert float(divergence(teacher + 3, student - 1)) == pytest.approx(expected, rel=1e-5)  # logits shift freely
    assert float(divergence(student, student)) == pytest.approx(0, abs=1e-6)


def test_the_student_gets_the_difference_of_the_distributions_as_gradient_and_the_teacher_none():
    teacher, student = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0)).unbind()
    teacher.requires_grad_(), student.requires_grad_()
    divergence(teacher, student).backward()
    assert teacher.grad is None
    torch.testing.assert_close(student.grad, student.softmax(-1) - teacher.softmax(-1))


def test_a_sample_with_a_skeleton_is_read_a_second_time_as_inference_would(model, samples):
    assert samples[0].video_only is None
    for sample in samples[1:]:
        ids, labels = sample.video_only
        prompt = model.prompt_ids(len(sample.features["video"]), "What is the person doing?")
        assert torch.equal(ids[: len(prompt)], prompt) and not (ids == PLACEHOLDER_IDS["skeleton"]).any()
        assert torch.equal(labels[labels != IGNORED], sample.labels[sample.labels != IGNORED])


def test_nobody_is_read_twice_whose_skeleton_is_dropped_or_who_has_no_video(model, tmp_path):
    assert dataset(model, tmp_path, skeleton_dropout=1.0)[1].video_only is None
    assert dataset(model, tmp_path, modalities=("skeleton",))[1].video_only is None


def test_what_truncation_takes_from_the_teacher_is_taught_to_nobody(model, tmp_path):
    whole = dataset(model, tmp_path)[2]
    short = dataset(model, tmp_path, max_length=len(whole.ids) - 4)[2]
    labels = short.video_only.labels
    assert (whole.labels != IGNORED).sum() - 4 == (short.labels != IGNORED).sum() > 0
    assert torch.equal(labels[labels != IGNORED], short.labels[short.labels != IGNORED])
    student = Encoded(torch.arange(6), torch.tensor([IGNORED, 1, IGNORED, 3, 4, 5]))
    cut = video_only_sample(student, torch.tensor([IGNORED] * 9 + [1, 3]), limit=5)
    assert cut.ids.tolist() == [0, 1, 2, 3, 4] and cut.labels.tolist() == [IGNORED, 1, IGNORED, 3, IGNORED]


def test_the_loss_adds_the_divergence_of_each_sample_alone(model, samples):
    """By whole logits of each sample, without padding."""
    total = trained = 0.0
    for sample in samples:
        trained += int((sample.labels != IGNORED).sum())
        if sample.video_only is None:
            continue
        logits = []
        for ids, labels, names in (
            (sample.ids, sample.labels, ("video", "skeleton")),
            (*sample.video_only, ("video",)),
        ):
            features = {name: sample.features[name] for name in names}
            counts = {name: torch.tensor([len(tokens)]) for name, tokens in features.items()}
            of_all = model.llm(inputs_embeds=model.embed(ids.unsqueeze(0), features, counts)).logits[0, :-1]
            logits.append(of_all[labels[1:] != IGNORED].detach().double())
        with_skeleton, alone = (rows.log_softmax(-1) for rows in logits)
        total += float((with_skeleton.exp() * (with_skeleton - alone)).sum())
    batch = PAD(samples)
    added = float((model(**batch).loss - model(**without(batch)).loss).detach())
    assert total / trained > 1e-3 and added == pytest.approx(total / trained, rel=1e-3)
    losses = (model(**inputs, num_items_in_batch=50).loss for inputs in (batch, without(batch)))
    by_step = float((next(losses) - next(losses)).detach())
    assert by_step == pytest.approx(total / 50, rel=1e-3)


def test_its_gradient_reaches_the_video_projector_through_the_video_alone(model, samples, monkeypatch):
    batch = PAD(samples)
    both, plain = gradients(model, batch), gradients(model, without(batch))
    skeleton, video = "projectors.skeleton.layers.weight", "projectors.video.layers.weight"
    torch.testing.assert_close(both[skeleton], plain[skeleton], atol=1e-7, rtol=1e-5)
    assert float((both[video] - plain[video]).norm()) > 1e-3 * float(plain[video].norm())
    answer_logits, calls = model._answer_logits, []

    def detached_student(*batch, **named):
        logits, targets = answer_logits(*batch, **named)
        calls.append(named)
        return (logits.detach() if named else logits), targets

    monkeypatch.setattr(model, "_answer_logits", detached_student)
    cut = gradients(model, batch)
    assert len(calls) == 2
    torch.testing.assert_close(cut, plain, atol=0, rtol=0)


def test_weight_0_changes_nothing(model, samples, monkeypatch):
    batch = PAD(samples)
    monkeypatch.setattr(model, "video_only_distillation", 0.0)
    torch.testing.assert_close(gradients(model, batch), gradients(model, without(batch)))


def test_a_batch_without_skeletons_has_no_further_forward(samples):
    assert "video_only" not in PAD(samples[:1]) and "video_only" not in PACK(samples[:1])


@pytest.mark.parametrize("is_checkpointing", [False, True])
def test_rows_and_checkpoints_give_the_gradients_of_padded_samples(model, samples, is_checkpointing):
    expected = gradients(model, PAD(samples))
    attention = model.llm.config._attn_implementation
    prepare_rows(model.llm, longest=128)
    if is_checkpointing:
        model.activation_checkpointing_enable()
    try:
        torch.testing.assert_close(gradients(model.train(), PACK(samples)), expected, atol=1e-5, rtol=1e-4)
    finally:
        model.gradient_checkpointing_disable()
        model.llm.set_attn_implementation(attention)


def test_the_further_forward_is_counted(model, samples):
    batch = PAD(samples[1:])
    attention = model.llm.config._attn_implementation
    model.llm.set_attn_implementation("eager")
    amounts = {name: float(amount) for name, amount in BatchWork(model.llm, model.projectors)(batch).items()}
    assert amounts["flops"] == pytest.approx(counted_flops(model, batch), rel=0.02)
    model.llm.set_attn_implementation(attention)
    lengths = sum(len(s.ids) + len(s.video_only.ids) for s in samples[1:])
    assert amounts["real_tokens"] == lengths
    assert amounts["trained_tokens"] == sum(int((s.labels != IGNORED).sum()) for s in samples[1:])


@pytest.mark.parametrize(
    ("recipe", "is_partitioned", "message"),
    [
        ({"video_only_distillation": -1.0}, False, "distillation -1: expected a weight of 0 or more"),
        ({"video_only_distillation": math.inf}, False, "expected a weight of 0 or more"),
        ({"modalities": "video"}, False, "found --modalities video, expected skeleton among them"),
        ({"modalities": "skeleton"}, False, "found --modalities skeleton, expected video among them"),
        ({"freeze": "video"}, False, "beside --freeze video: nothing that is trained reads the video alone"),
        ({}, True, "found ZeRO-3, expected ZeRO-2 or no DeepSpeed"),
    ],
)
def test_a_distillation_that_teaches_nothing_is_refused(recipe, is_partitioned, message):
    recipe = SkiLvlmRecipe(**{"video_only_distillation": 1.0} | recipe)
    with pytest.raises(ValueError, match=message):
        check_distillation(recipe, AdapterRecipe(), is_partitioned=is_partitioned)


def test_an_adapter_may_learn_before_a_frozen_projector():
    recipe = SkiLvlmRecipe(video_only_distillation=1.0, freeze="video")
    check_distillation(recipe, AdapterRecipe(lora_rank=4), is_partitioned=False)
    with pytest.raises(ValueError, match="found reentrant checkpoints before trained weights of the language model"):
        check_distillation(recipe, AdapterRecipe(lora_rank=4), is_partitioned=False, is_reentrant=True)
    frozen_llm = SkiLvlmRecipe(video_only_distillation=1.0)
    check_distillation(frozen_llm, AdapterRecipe(), is_partitioned=False, is_reentrant=True)
    check_distillation(SkiLvlmRecipe(modalities="video"), AdapterRecipe(), is_partitioned=True)
