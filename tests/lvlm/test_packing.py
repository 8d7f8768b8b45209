"""Samples in one row against the same samples padded: loss, gradients, leaks, operations, counts."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.llm.packed_rows import prepare_rows
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.flops import BatchWork
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.samples import InstructSample
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

WIDTHS = {"video": 12, "skeleton": 8}
PAD, PACK = InstructCollator(0, WIDTHS), InstructCollator(0, WIDTHS, packing=True)
BOTH = {"video": 6, "skeleton": 4}
ROWS = {  # the tokens of each sample
    "unequal": [BOTH, {"video": 9, "skeleton": 2}, {"video": 3, "skeleton": 7}],
    "no skeletons": [{"video": 6}, {"video": 2}, {"video": 5}],
    "mixed": [BOTH, {"video": 6}, {"skeleton": 4}, {}],
    "one": [BOTH],
}


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("llm")))


def build(llm, attention="sdpa", projector="linear"):
    torch.manual_seed(0)
    projectors = {name: ProjectorSettings(projector) for name in WIDTHS}
    model = SkiLvlm.build(base_llm=llm, token_widths=WIDTHS, projectors=projectors).train()
    model.llm.set_attn_implementation(attention)
    return model


def sample(counts, number, projector):
    """Make a sample with these tokens, 4 to 8 words before them and 2 to 6 trained ones behind."""
    generator = torch.Generator().manual_seed(number)
    words = torch.randint(5, 250, (4 + number + 2 * (number + 1),), generator=generator)
    embeddings = ProjectorSettings(projector).count
    slots = [torch.full((embeddings(count),), PLACEHOLDER_IDS[name]) for name, count in counts.items()]
    ids = torch.cat([words[: 4 + number], *slots, words[4 + number :]])
    labels = torch.full_like(ids, IGNORED)
    labels[-2 * (number + 1) :] = ids[-2 * (number + 1) :]
    features = {name: torch.randn(count, WIDTHS[name], generator=generator) for name, count in counts.items()}
    return InstructSample(ids, labels, features)


def samples(kind, projector="linear"):
    return [sample(counts, number, projector) for number, counts in enumerate(ROWS[kind])]


def loss_and_gradients(model, batch, **options):
    model.zero_grad()
    loss = model(**batch, **options).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("projector", ["linear", "temporal"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ROWS)
def test_loss_and_gradients_are_those_of_padded_samples(llm, kind, attention, projector):
    model = build(llm, attention, projector)
    for options in ({}, {"num_items_in_batch": torch.tensor(40)}):
        expected, padded = loss_and_gradients(model, PAD(samples(kind, projector)), **options)
        prepare_rows(model.llm, longest=64)
        loss, packed = loss_and_gradients(model, PACK(samples(kind, projector)), **options)
        torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
        assert packed.keys() == padded.keys()
        for name, gradient in packed.items():
            torch.testing.assert_close(gradient, padded[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("is_checkpointing", [False, True])
def test_checkpointing_recomputes_each_sample_alone(llm, is_checkpointing):
    model = build(llm)
    expected, gradients = loss_and_gradients(model, PAD(samples("mixed")))
    prepare_rows(model.llm, longest=64)
    if is_checkpointing:
        model.llm.gradient_checkpointing_enable({"use_reentrant": False})
    loss, packed = loss_and_gradients(model.train(), PACK(samples("mixed")))
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(packed, gradients, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_another_sample_changes_nothing_of_this_ones_loss(llm, attention, place):
    """Bit for bit. Words, projected tokens and labels of the others change."""
    model = build(llm, attention)
    prepare_rows(model.llm, longest=64)
    row = samples("unequal")

    def loss_of(row):
        parts = [s if k == place else s._replace(labels=torch.full_like(s.labels, IGNORED)) for k, s in enumerate(row)]
        return model(**PACK(parts), num_items_in_batch=1).loss

    changed = [
        s
        if k == place
        else s._replace(
            ids=torch.where(s.ids >= 0, (s.ids * 7) % 250, s.ids),
            features={name: 3 - tokens for name, tokens in s.features.items()},
        )
        for k, s in enumerate(row)
    ]
    with torch.no_grad():
        assert torch.equal(loss_of(row), loss_of(changed))
        row[place] = row[place]._replace(ids=torch.where(row[place].ids >= 0, row[place].ids + 1, row[place].ids))
        assert not torch.equal(loss_of(row), loss_of(changed))


def test_the_first_token_of_a_sample_is_no_target_of_the_one_before(llm):
    """Also where a label says so, as in data of others."""
    model = build(llm)
    prepare_rows(model.llm, longest=64)
    row = samples("unequal")
    trained = [s._replace(labels=torch.where(s.ids >= 0, s.ids, IGNORED)) for s in row]
    with torch.no_grad():
        total = sum(model(**PACK([s]), num_items_in_batch=1).loss for s in trained)
        torch.testing.assert_close(model(**PACK(trained), num_items_in_batch=1).loss, total)


def operations(model, batch):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # a CPU's own kernel is not counted
        model(**batch).loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["unequal", "mixed"])
def test_a_row_costs_what_its_samples_cost_alone(llm, kind):
    model = build(llm)
    padded = operations(model, PAD(samples(kind)))
    prepare_rows(model.llm, longest=64)
    alone = sum(operations(model, PACK([s])) for s in samples(kind))
    packed = operations(model, PACK(samples(kind)))
    assert packed <= 1.02 * alone
    assert packed < padded
    whole_row = build(llm, "eager")
    assert operations(whole_row, PACK(samples(kind))) > packed  # its mask hides pairs, and all are computed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_log_counts_a_row_as_what_it_is(llm, attention):
    model = build(llm, attention)
    prepare_rows(model.llm, longest=64)
    work = BatchWork(model.llm, model.projectors)
    padded, packed = work(PAD(samples("unequal"))), work(PACK(samples("unequal")))
    assert packed["real_tokens"] == packed["padded_tokens"] == padded["real_tokens"] < padded["padded_tokens"]
    assert packed["trained_tokens"] == padded["trained_tokens"]
    assert packed["useful_flops"] == padded["useful_flops"]
    assert float(packed["flops"]) == pytest.approx(operations(model, PACK(samples("unequal"))), rel=0.1)
    assert (packed["flops"] == packed["useful_flops"]) == (attention == "sdpa")
