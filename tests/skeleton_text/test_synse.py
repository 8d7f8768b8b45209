import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.skeleton_text.method import Sizes, Step
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.methods.autoencoders import Autoencoders
from ski_lvlm.skeleton_text.methods.synse_classifier import class_scorer, fit_classifier
from ski_lvlm.skeleton_text.methods.synse_loss import cross_start, kl_divergence, synse_terms, weights_at
from tests.cases.reference_weights import reference, relative

PARTS = {"sequence": "skeleton_{}", "n_text": "text_{}s.0", "v_text": "text_{}s.1"}
LAYERS = {"mu_transformation.0": "mean", "logvar_transformation.0": "log_variance", "model.0": "0"}


def own_name(published):
    tower, layer, leaf = (
        published.split(".", 1)[0],
        published.split(".", 1)[1].rsplit(".", 1)[0],
        published.rsplit(".")[-1],
    )
    part, kind = tower.rsplit("_", 1)
    return f"{PARTS[part].format(kind)}.{LAYERS[layer]}.{leaf}"


def published_networks():
    return Autoencoders(256, 1024, num_texts=2, latent=100, has_text_relu=True)


@pytest.fixture(scope="module")
def golden():
    arrays, weights = reference("synse")
    model = published_networks()
    model.load_state_dict({own_name(k): v for k, v in weights.items() if not k.startswith("classifier")})
    scorer = class_scorer(latent=100, classes=5, has_relu=True)
    scorer.load_state_dict({k.removeprefix("classifier.model."): v for k, v in weights.items() if k[0] == "c"})
    words = torch.stack([F.normalize(arrays[name], dim=-1)[arrays["target"]] for name in ("noun", "verb")])
    return model, scorer, arrays, words


def terms_of(golden):
    model, _, arrays, words = golden
    return synse_terms(model, arrays["skeleton"], words, arrays["eps"])


def outputs(golden):
    model, scorer, arrays, words = golden
    with torch.no_grad():
        skeleton = model.skeleton_encoder(arrays["skeleton"])
        noun, verb = model.encode_texts(words)
        z_s, z_n, z_v = (g.sample(e) for g, e in zip((skeleton, noun, verb), arrays["eps"], strict=True))
        noun_of_skeleton, verb_of_skeleton = model.decode_texts(z_s)
        return {
            "skeleton_mu": skeleton.mean,
            "skeleton_logvar": skeleton.log_variance,
            "noun_mu": noun.mean,
            "verb_mu": verb.mean,
            "skeleton_out": model.skeleton_decoder(z_s),
            "noun_from_skeleton": noun_of_skeleton,
            "verb_from_skeleton": verb_of_skeleton,
            "skeleton_from_text": model.skeleton_decoder(torch.cat([z_n, z_v], -1)),
            "classifier_logits": scorer(skeleton.mean),
        }


def test_networks_are_the_published_ones(golden):
    differences = {name: relative(value, golden[2][name]) for name, value in outputs(golden).items()}
    assert max(differences.values()) < 1e-5, differences


def test_terms_are_the_published_ones(golden):
    arrays, terms = golden[2], terms_of(golden)
    pairs = {
        "reconstruction": (terms.reconstruction, ("s_recons", "nt_recons", "vt_recons")),
        "cross": (terms.cross, ("nt_crecons", "vt_crecons", "s_crecons")),
        "skeleton_kl": (terms.skeleton_kl, ("s_kl",)),
        "text_kl": (terms.text_kl, ("nt_kl", "vt_kl")),
    }
    for value, names in pairs.values():
        assert relative(value.detach(), sum(arrays[f"term_{name}"] for name in names)) < 1e-5


@pytest.mark.parametrize("length", [1700, 1900])
@pytest.mark.parametrize("cycle", [0, 1, 2])
def test_the_loss_follows_the_published_schedule(golden, length, cycle):
    terms, spots = terms_of(golden), golden[2][f"spot_epochs_len{length}"].tolist()
    losses = [terms.total(weights_at(spot, cycle=cycle, length=length)).item() for spot in spots]
    assert relative(losses, golden[2][f"loss_len{length}_cycle{cycle}"]) < 1e-5


def test_five_steps_of_adam_are_the_published_ones(golden):
    _, _, arrays, words = golden
    model = published_networks()
    model.load_state_dict(golden[0].state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    losses = []
    for iteration in range(1695, 1700):
        optimizer.zero_grad()
        terms = synse_terms(model, arrays["skeleton"], words, arrays["eps"])
        loss = terms.total(weights_at(iteration, cycle=2, length=1700))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert relative(losses, arrays["adam_losses"]) < 1e-5
    size = model.skeleton_encoder.mean.weight.abs().double().mean().item()
    assert size == pytest.approx(arrays["adam_skeleton_encoder_mu_weight_mean_abs"].item(), rel=1e-5)


def tiny(*, has_text_relu=False, latent=10, num_texts=2):
    torch.manual_seed(0)
    return Autoencoders(6, 7, num_texts=num_texts, latent=latent, has_text_relu=has_text_relu)


def test_corrected_decoders_reach_negative_numbers():
    latent = torch.randn(8, 10)
    published, corrected = (tiny(has_text_relu=relu).decode_texts(latent) for relu in (True, False))
    assert published.min() == 0 and corrected.min() < 0


def test_published_size_is_that_of_the_paper_s_code():
    assert sum(p.numel() for p in published_networks().parameters()) == 386_704


def test_a_divergence_is_zero_for_the_standard_normal():
    model = tiny()
    torch.nn.init.zeros_(model.skeleton_encoder.mean.weight)
    torch.nn.init.zeros_(model.skeleton_encoder.log_variance.weight)
    assert kl_divergence(model.skeleton_encoder(torch.ones(3, 6))).item() == 0


def test_each_cycle_begins_without_divergence_and_cross_terms():
    assert weights_at(0, cycle=5, length=1900) == (0, 0, 0)
    assert weights_at(cross_start(1900), cycle=5, length=1900).cross == 0


@pytest.mark.parametrize("latent", [0, 1, 7])
def test_a_latent_space_without_halves_is_refused(latent):
    with pytest.raises(ValueError, match="expected a multiple of 2"):
        tiny(latent=latent)


@pytest.mark.slow
def test_a_classifier_is_the_same_every_time_and_needs_two_classes():
    networks, words = tiny(), F.normalize(torch.randn(2, 3, 7), dim=-1)
    with torch.no_grad():
        first, second = (fit_classifier(networks, words, has_relu=False, seed=3)[0].weight for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(ValueError, match="found 1 class"):
        fit_classifier(networks, words[:, :1], has_relu=False, seed=3)


@pytest.mark.parametrize(("name", "parts", "width"), [("synse", 2, 7), ("msf", 1, 14)])
def test_msf_joins_what_synse_takes_apart(name, parts, width):
    sizes = Sizes(skeleton_width=6, text_width=7, num_texts=2, num_classes=3, latent=4)
    method, texts = METHODS[name](sizes, published=frozenset({"relu"}), seed=0), torch.randn(3, 2, 7)
    assert [decoder[0].out_features for decoder in method.networks.text_decoders] == [width] * parts
    batch = torch.rand(5, 6), torch.tensor([0, 1, 2, 0, 1])
    step = Step(round=2, number=1650, round_length=1700, rounds=3)
    method.loss(*batch, texts, step=step, random=np.random.default_rng(0)).backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.scorer(texts)(batch[0]).shape == (5, 3)
    with pytest.raises(ValueError, match="--published temperature: .* has relu to choose"):
        METHODS[name](sizes, published=frozenset({"temperature"}), seed=0)
