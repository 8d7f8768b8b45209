import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from ski_lvlm.encoders.clip_maps import scrambled_map
from ski_lvlm.skeleton_text.methods.part_loss import part_terms
from ski_lvlm.skeleton_text.methods.part_reader import PartNetwork
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.parts import PARTS, body_parts
from tests.cases.reference_weights import GOLDEN, fill_random, reference, relative
from tests.cases.stand_in_case import published_shift_gcn, skeleton_input

pytestmark = pytest.mark.slow

NTU_PARTS = body_parts(LAYOUTS["ntu-25"])
LAYERS = {
    "query.weight": "body_part_st_attention_networks.{}.q_proj_weight",
    "key.weight": "body_part_st_attention_networks.{}.k_proj_weight",
    "value.weight": "body_part_st_attention_networks.{}.v_proj_weight",
    "exit": "body_part_st_attention_networks.{}.out_proj",
    "hidden": "body_part_mapping_matrix1.{}",
    "output": "body_part_mapping_matrix2.{}",
    "queries": "body_part_prompts.{}",
    "match": "body_part_w.{}",
}
TEXTS = {"0": ("crossmodal_align1", "pd_mapping_matrix1.{}"), "2": ("crossmodal_align2", "pd_mapping_matrix2.{}")}


def published_name(name):
    """Return the published name of one of our parameters."""
    if name.startswith("name_map"):
        _, layer, leaf = name.split(".")
        return f"{TEXTS[layer][0]}.{leaf}"
    kind, part, remainder = name.split(".", 2) if not name.startswith("class") else (*name.split("."), "")
    number = PARTS.index(part)
    if kind == "class_offsets":
        return f"pd_prompt.{number}"
    if kind == "part_maps":
        layer, leaf = remainder.split(".")
        return f"{TEXTS[layer][1].format(number)}.{leaf}"
    if remainder in LAYERS:
        return LAYERS[remainder].format(number)
    layer, leaf = remainder.split(".")
    if layer in LAYERS:
        return f"{LAYERS[layer].format(number)}.{leaf}"
    return f"body_part_st_attention_networks.{number}.in_proj_bias"


def slice_of_bias(name):
    """Return where the published bias of queries, keys and values holds this one."""
    if ".query.bias" in name:
        return slice(0, 768)
    return slice(1536, 2304) if ".value.bias" in name else slice(None)


@pytest.fixture(scope="module")
def golden():
    """Return the published network, the golden arrays, and the texts, in which unseen classes come last."""
    arrays, weights = reference("star")
    unseen = arrays["unseen"].tolist()
    order = [number for number in range(60) if number not in unseen] + unseen
    network = PartNetwork(256, 768, parts=NTU_PARTS, classes=60)
    state = {}
    for name, value in network.state_dict().items():
        published = published_name(name)
        factor = 25 if published.startswith(("body_part_prompts", "pd_prompt")) else 1
        rows = order if published.startswith("pd_prompt") else slice_of_bias(name)
        state[name] = weights[published][rows] * factor
        assert state[name].shape == value.shape
    network.load_state_dict(state)
    texts = torch.stack([fill_random(f"star.text.{number}", (60, 768)) * 10 for number in range(7)], 1)
    labels = torch.tensor([order.index(label) for label in arrays["labels"].tolist()])
    return network, arrays, texts[order], labels, order


def terms_of(golden, features=None):
    network, arrays, texts, labels, _ = golden
    features = arrays["feature"] if features is None else features
    return part_terms(network, features, labels, texts, temperature=1.0, num_seen=55)


@torch.no_grad()
def outputs(golden):
    """Return our values of the golden arrays, classes in the published order."""
    network, arrays, texts, labels, order = golden
    back = torch.tensor(order).argsort()
    read, names, parts = network.read(arrays["feature"]), network.map_names(texts), network.map_parts(texts)
    scores = F.normalize(read.whole, dim=-1) @ F.normalize(names, dim=-1).T
    terms = terms_of(golden)
    return {
        "part_visual_mean": torch.stack([visual_mean(network, part, arrays["feature"]) for part in NTU_PARTS], 1),
        "part_semantic": read.scores,
        "global_semantic": read.whole,
        "label_mapped": names[back],
        "part_mapped": parts[back],
        "part_des_mapped": parts[labels],
        "zsl_scores": scores[:, 55:],
        "gzsl_scores": scores[:, back],
        "loss_global_ce": terms.names,
        "loss_part_ce": terms.parts,
        "loss_pd_label": terms.texts,
        "loss_total": terms.total(),
    }


def visual_mean(network, part, features):
    joints = rearrange(features[..., list(NTU_PARTS[part])], "b f u j -> b (u j) f")
    reader = network.readers[part]
    return reader.output(reader.hidden_units(joints)).mean(-1)


def gradient_norms(golden):
    """Return the norms of the loss's gradients by published names."""
    network = golden[0]
    network.zero_grad()
    terms_of(golden).total().backward()
    squares = {}
    for name, parameter in network.named_parameters():
        published = published_name(name)
        squares[published] = squares.get(published, 0.0) + parameter.grad.double().square().sum().item()
    return {name: math.sqrt(square) for name, square in squares.items()}


def published_gradient_norms(golden):
    with np.load(GOLDEN / "star_golden.npz", allow_pickle=False) as file:
        return dict(zip(file["grad_names"].tolist(), file["grad_norms"].tolist(), strict=True))


@pytest.mark.slow
def test_heads_and_losses_are_the_published_ones(golden):
    differences = {name: relative(value, golden[1][name]) for name, value in outputs(golden).items()}
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.slow
def test_answers_are_the_published_ones(golden):
    values, arrays = outputs(golden), golden[1]
    assert torch.equal(values["zsl_scores"].argmax(1), arrays["zsl_pred"])
    assert torch.equal(values["gzsl_scores"].argmax(1), arrays["gzsl_pred"])


@pytest.mark.slow
def test_gradients_are_the_published_ones(golden):
    norms, expected = gradient_norms(golden), published_gradient_norms(golden)
    assert norms.keys() == expected.keys()
    assert max(abs(norms[name] / expected[name] - 1) for name in norms) < 1e-4


@pytest.mark.slow
@torch.no_grad()
def test_with_the_published_backbone_and_map_too(golden):
    encoder = published_shift_gcn(prefix="pretraining_model.").encoder
    features = scrambled_map(encoder, skeleton_input(clips=4, frames=16))
    terms = terms_of(golden, features)
    values = {
        "full_part_semantic": golden[0].read(features).scores,
        "full_loss_global_ce": terms.names,
        "full_loss_part_ce": terms.parts,
        "full_loss_total": terms.total(),
    }
    differences = {name: relative(value, golden[1][name]) for name, value in values.items()}
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.slow
def test_has_the_published_number_of_parameters(golden):
    _, weights = reference("star")
    published = sum(
        value.numel()
        for name, value in weights.items()
        if published_kind(name) not in ("pretraining_model", "part_weights_factor", "body_part_index_list")
    )
    untrained = 349_176 + 6 * 768  # leftover classifiers, and the biases of keys
    assert sum(p.numel() for p in golden[0].parameters()) == published - untrained


def published_kind(name):
    return name.split(".")[0]


def narrow(**changes):
    torch.manual_seed(0)
    arguments = {"parts": NTU_PARTS, "classes": 5, "queries": 6, "width": 8, "hidden": 7, "heads": 2}
    return PartNetwork(12, 10, **arguments | changes)


def maps(batch=3):
    return torch.rand(batch, 12, 4, 25, generator=torch.Generator().manual_seed(1))


def narrow_texts(classes=5):
    return torch.randn(classes, 7, 10, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_an_absent_joint_has_no_influence():
    network, features = narrow(), maps()
    features[1, :, 2:, 7] = math.nan
    torn = features[1:2].clone()
    torn[..., :2, 7] = 5.0
    torn[..., 2:, 7] = math.nan
    other = torn.clone()
    other[..., :2, 7] = -5.0
    assert torch.allclose(network.read(features).scores[0], network.read(maps()).scores[0], atol=1e-4)
    assert not torch.allclose(network.read(torn).scores, network.read(other).scores, atol=1e-3)
    torn[..., 7] = math.nan
    without = narrow(parts={**NTU_PARTS, "hand": tuple(joint for joint in NTU_PARTS["hand"] if joint != 7)})
    assert torch.allclose(network.read(torn).scores, without.read(torn.nan_to_num(9.0)).scores, atol=1e-4)


def test_a_part_without_joints_is_left_out_and_every_weight_still_trains():
    network, features = narrow(), maps()
    features[0, :, :, list(NTU_PARTS["foot"])] = math.nan
    read = network.read(features)
    assert read.has_part.tolist() == [[True] * 5 + [False], [True] * 6, [True] * 6]
    assert not read.scores[0, 5].any()
    terms = part_terms(network, features, torch.tensor([0, 3, 4]), narrow_texts(), temperature=0.1, num_seen=5)
    terms.total().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_terms_are_over_the_parts_that_are_there():
    network, features, texts = narrow(), maps(2), narrow_texts()
    features[0, :, :, list(NTU_PARTS["foot"])] = math.nan
    labels = torch.tensor([1, 2])
    whole, first, second = (
        part_terms(network, features[clips], labels[clips], texts, temperature=1.0, num_seen=5).parts
        for clips in (slice(0, 2), slice(0, 1), slice(1, 2))
    )
    assert whole.item() == pytest.approx((5 * first.item() + 6 * second.item()) / 11, rel=1e-4)


def test_unseen_texts_enter_the_term_of_texts_alone():
    network, features, texts = narrow(), maps(), narrow_texts()
    labels = torch.tensor([0, 1, 2])
    one, other = (
        part_terms(network, features, labels, content, temperature=1.0, num_seen=3)
        for content in (texts, torch.cat([texts[:3], -texts[3:]]))
    )
    assert torch.equal(one.names, other.names) and torch.equal(one.parts, other.parts)
    assert not torch.allclose(one.texts, other.texts)


def test_half_precision_maps_are_read_in_the_weights_precision():
    network, features = narrow(), maps()
    read = network.read(features.half()).scores
    assert read.dtype == torch.float32 and torch.equal(read, network.read(features.half().float()).scores)


@pytest.mark.slow
def test_products_in_bf16_give_nearly_the_same_loss_and_gradients(golden):
    network, losses, gradients = golden[0], [], []
    for is_half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = terms_of(golden).total()
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in network.readers.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert F.cosine_similarity(*gradients, dim=0) > 0.98


def test_a_layout_without_hands_has_five_parts():
    parts = body_parts(LAYOUTS["coco-17"])
    network = narrow(parts=parts)
    assert network.read(torch.rand(2, 12, 4, 17)).scores.shape == (2, len(parts), 6)
    assert network.map_parts(torch.randn(5, 1 + len(parts), 10)).shape == (5, len(parts), 6)
