import numpy as np
import pytest
import torch

from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.sample_index import sample_index
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.lvlm.skeleton_control import check_control, control_settings, shuffled_partners
from ski_lvlm.lvlm.usable_samples import drop_unusable
from ski_lvlm.training.epoch_sampler import SampleKey
from tests.cases.lvlm_case import CLIPS, TOKENS, write_features, write_instructions
from tests.cases.tiny_llm import tiny_tokenizer


@pytest.fixture
def features(tmp_path):
    return FeatureFolder(write_features(tmp_path / "features"))


def controlled(control, features, clips=tuple(CLIPS), *, seed=0):
    conversations = read_instructions(write_instructions(features.root / "i.json", clips))
    settings = control_settings(control, features, conversations, seed=seed, folders=())
    return InstructDataset(conversations, features, tiny_tokenizer(), SampleSettings(**settings))


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_clips_have_the_tokens_of_another_and_each_is_had_once(features, seed):
    partners = shuffled_partners(features, [*CLIPS, *CLIPS], seed=seed)
    assert sorted(partners) == sorted(partners.values()) == sorted(CLIPS)
    assert all(clip != partner for clip, partner in partners.items())
    assert partners == shuffled_partners(features, reversed(CLIPS), seed=seed)


def test_seeds_shuffle_otherwise(features):
    assert len({tuple(shuffled_partners(features, CLIPS, seed=seed).items()) for seed in range(20)}) > 1


def test_two_names_of_one_file_are_one_clip_and_clips_without_tokens_are_left_out(features):
    partners = shuffled_partners(features, [CLIPS[0], f"rgb/{CLIPS[0]}", CLIPS[1], "absent"], seed=0)
    assert partners[CLIPS[0]] == partners[f"rgb/{CLIPS[0]}"] == CLIPS[1]
    assert features.find_relative(partners[CLIPS[1]], "skeleton") == f"{CLIPS[0]}.npy" and "absent" not in partners


def test_one_clip_cannot_be_shuffled(features):
    with pytest.raises(ValueError, match="--skeleton_control shuffled: found 1 clips with skeleton tokens"):
        shuffled_partners(features, CLIPS[:1], seed=0)


def test_a_shuffled_sample_has_another_clips_skeleton_and_its_own_video(features):
    data = controlled("shuffled", features)
    for k, clip in enumerate(CLIPS):
        sample = data[SampleKey(1, k, 0.5)]
        assert torch.equal(sample.features["video"], features.load(clip, "video"))
        others = [
            other for other in CLIPS if torch.equal(sample.features["skeleton"], features.load(other, "skeleton"))
        ]
        assert others == [data.settings.partners[clip]] != [clip]


def test_samples_are_measured_with_the_tokens_that_they_have(features):
    for k, clip in enumerate(CLIPS):
        np.save(features.root / "skeleton" / f"{clip}.npy", np.ones((k + 1, 8), np.float16))
    data = controlled("shuffled", features)
    lengths = sample_index(data, ()).lengths.tolist()
    assert lengths == [len(data[k].ids) for k in range(len(CLIPS))]
    assert lengths != sample_index(controlled("none", features), ()).lengths.tolist()


def test_a_clip_without_features_is_skipped_and_lends_nothing(features):
    data = controlled("shuffled", features, (*CLIPS, "S001C001P001R001A099"))
    usable = drop_unusable(data, skip_missing=True)
    assert len(usable) == 4 and all("A099" not in partner for partner in usable.settings.partners.values())
    assert usable[0].features["skeleton"].shape == TOKENS["skeleton"]


def test_noise_has_the_count_and_the_statistics_of_real_tokens(features):
    generator = np.random.default_rng(1)
    mean, std = generator.normal(size=8) * 5, np.geomspace(0.1, 10, 8)
    for clip in CLIPS:
        tokens = mean + std * generator.normal(size=(500, 8))
        np.save(features.root / "skeleton" / f"{clip}.npy", tokens.astype(np.float32))
    data = controlled("noise", features)
    noise = torch.cat([data[SampleKey(epoch, 0)].features["skeleton"] for epoch in range(8)])
    assert noise.shape == (4000, 8) and noise.dtype == torch.float32
    for actual, expected in zip(noise.std(0).tolist(), std, strict=True):
        assert 0.9 < actual / expected < 1.1
    assert ((noise.mean(0).numpy() - mean) / std < 0.2).all()
    assert abs(np.corrcoef(noise.numpy().T) - np.eye(8)).max() < 0.1


def test_noise_follows_from_seed_sample_and_epoch_alone(features):
    def noise(epoch, sample, progress=0.0, seed=0):
        return controlled("noise", features, seed=seed)[SampleKey(epoch, sample, progress)].features["skeleton"]

    assert torch.equal(noise(1, 2), noise(1, 2, progress=0.7))
    others = [noise(1, 2), noise(1, 3), noise(2, 2), noise(1, 2, seed=1)]
    assert len({tuple(tokens.flatten().tolist()) for tokens in others}) == len(others)
    video = controlled("noise", features)[2].features["video"]
    assert torch.equal(video, features.load(CLIPS[2], "video"))


def test_a_control_of_skeletons_needs_skeletons(features):
    assert control_settings("none", features, [], seed=0, folders=()) == {}
    check_control("noise", ["video", "skeleton"])
    with pytest.raises(ValueError, match="--skeleton_control noise: found --modalities video, expected skeleton"):
        check_control("noise", ["video"])
