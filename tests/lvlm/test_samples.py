import numpy as np
import pytest
import torch

from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm import token_statistics as statistics_module
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.features import FeatureError, FeatureFolder
from ski_lvlm.lvlm.padding import left_padded
from ski_lvlm.lvlm.token_statistics import cached_statistics, token_statistics
from ski_lvlm.lvlm.usable_samples import drop_unusable
from tests.cases.lvlm_case import CLIPS, TOKENS, instruct_dataset, write_features

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}


def test_a_sample_has_a_position_for_every_token(tmp_path):
    sample = instruct_dataset(tmp_path)[0]
    for modality, (count, width) in TOKENS.items():
        assert (sample.ids == PLACEHOLDER_IDS[modality]).sum() == count
        assert sample.features[modality].shape == (count, width)


@pytest.mark.parametrize("modalities", [("video",), ("skeleton",), ("video", "skeleton")])
def test_switches_give_the_rows_of_table_3(tmp_path, modalities):
    sample = instruct_dataset(tmp_path, modalities=modalities)[0]
    assert set(sample.features) == set(modalities)


def test_skeleton_dropout_removes_tokens_and_not_their_values(tmp_path):
    always, never = instruct_dataset(tmp_path, skeleton_dropout=1.0), instruct_dataset(tmp_path)
    assert set(always[0].features) == {"video"}
    assert len(never[0].ids) - len(always[0].ids) >= TOKENS["skeleton"][0]
    assert not (always[0].ids == PLACEHOLDER_IDS["skeleton"]).any()


@pytest.mark.slow
def test_skeleton_dropout_is_the_same_after_a_resume_and_another_each_epoch(tmp_path):
    def choices(epoch, seed=0):
        data = instruct_dataset(tmp_path, clips=tuple(CLIPS) * 16, skeleton_dropout=0.5, seed=seed)
        return ["skeleton" in data[epoch, k].features for k in range(len(data))]

    assert choices(0) == choices(0)
    assert choices(0) != choices(1)
    assert choices(0) != choices(0, seed=1)
    assert 16 <= sum(choices(0)) <= 48


def test_left_padding_puts_the_answers_together_at_the_end():
    assert left_padded([torch.tensor([1]), torch.tensor([2, 3])], 9).tolist() == [[9, 1], [2, 3]]


def test_a_batch_without_a_modality_still_carries_it_empty(tmp_path):
    data = instruct_dataset(tmp_path, video_only=CLIPS)
    batch = InstructCollator(0, WIDTHS)([data[0], data[1]])
    assert batch["features"]["skeleton"].shape == (0, TOKENS["skeleton"][1])
    assert batch["features"]["video"].shape == (2 * TOKENS["video"][0], TOKENS["video"][1])


def test_padding_is_neither_seen_nor_trained(tmp_path):
    data = instruct_dataset(tmp_path, video_only=CLIPS[:1])
    batch = InstructCollator(7, WIDTHS)([data[0], data[1]])
    padded = batch["attention_mask"] == 0
    assert padded.any()
    assert (batch["labels"][padded] == IGNORED).all()
    assert (batch["ids"][padded] == 7).all()


def test_clips_without_features_stop_the_run_before_it_starts(tmp_path):
    data = instruct_dataset(tmp_path, clips=(*CLIPS, "S001C001P001R001A099"))
    with pytest.raises(ValueError, match=r"1 of 5 conversations.*A099.*extract_features.*--skip_missing"):
        drop_unusable(data)
    assert len(drop_unusable(data, skip_missing=True)) == 4 and len(data) == 5


def test_an_answer_cut_away_is_an_error_beyond_one_percent(tmp_path):
    data = instruct_dataset(tmp_path, max_length=20)
    with pytest.raises(ValueError, match="4 of 4 conversations have no trained token within 20"):
        drop_unusable(data)


@pytest.mark.slow
def test_one_percent_truncated_is_left_out_and_counted(tmp_path, caplog):
    data = instruct_dataset(tmp_path, clips=tuple(CLIPS) * 50, max_length=300)
    long = data.conversations[0]
    question = long.turns[0]._replace(text="why " * 400 + "\n<video>\n<skeleton>")
    data.conversations = [long._replace(turns=(question, long.turns[1])), *data.conversations[1:]]
    assert len(drop_unusable(data)) == 199
    assert "skipped 1 conversations truncated" in caplog.text


def test_projected_tokens_are_never_truncated(tmp_path):
    data = instruct_dataset(tmp_path, max_length=12)
    with pytest.raises(ValueError, match="tokens fit into 12"):
        data[0]


def test_nan_in_features_names_the_file(tmp_path):
    data = instruct_dataset(tmp_path)
    file = tmp_path / "features" / "skeleton" / f"{CLIPS[0]}.npy"
    np.save(file, np.full(TOKENS["skeleton"], np.nan, np.float16))
    with pytest.raises(FeatureError, match=CLIPS[0]):
        data[0]


def constant_features(folder, values, *, modality="video"):
    """Clip k has k + 2 tokens, all of the k-th value."""
    (folder / modality).mkdir(parents=True)
    for k, value in enumerate(values):
        np.save(folder / modality / f"clip{k:02d}.npy", np.full((k + 2, 3), value, np.float32))
    return FeatureFolder(folder), [f"clip{k:02d}" for k in range(len(values))]


def test_token_statistics_are_those_of_each_channel_over_all_tokens(tmp_path):
    features = FeatureFolder(write_features(tmp_path))
    statistics = token_statistics(features, CLIPS, "skeleton")
    files = [np.load(tmp_path / "skeleton" / f"{clip}.npy") for clip in CLIPS]
    tokens = np.concatenate(files).astype(np.float64)
    np.testing.assert_allclose(statistics.mean, tokens.mean(0), atol=1e-5)
    np.testing.assert_allclose(statistics.std, tokens.std(0, ddof=1), atol=1e-5)


def test_token_statistics_count_a_clip_once_and_pass_over_those_without_features(tmp_path):
    features, clips = constant_features(tmp_path, [0.0, 5.0])
    expected = token_statistics(features, clips, "video")
    statistics = token_statistics(features, [*reversed(clips), *clips, "absent"], "video")
    torch.testing.assert_close(statistics, expected)
    torch.testing.assert_close(expected.mean, torch.full((3,), 3.0))  # 2 tokens of 0, 3 tokens of 5


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7])
def test_token_statistics_of_many_clips_look_at_evenly_spaced_ones(tmp_path, monkeypatch, limit):
    features, clips = constant_features(tmp_path, [float(k) for k in range(8)])
    looked, load = [], FeatureFolder.load

    def noting(folder, clip, modality):
        looked.append(int(clip[4:]))
        return load(folder, clip, modality)

    monkeypatch.setattr(FeatureFolder, "load", noting)
    token_statistics(features, clips, "video", limit=limit)
    gaps = np.diff([*looked, 8])
    assert len(looked) == limit and looked[0] == 0
    assert gaps.max() - gaps.min() <= 1


def test_token_statistics_of_no_features_at_all_are_an_error(tmp_path):
    features, clips = constant_features(tmp_path, [1.0])
    with pytest.raises(ValueError, match="no skeleton features of any clip; run scripts/extract_features"):
        token_statistics(features, clips, "skeleton")


def test_token_statistics_of_an_earlier_start_are_taken_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics_module, "_SMALL", 0)
    _, clips = constant_features(tmp_path / "features", [0.0, 5.0])
    loads, load = [], FeatureFolder.load
    monkeypatch.setattr(FeatureFolder, "load", lambda f, *clip: loads.append(clip) or load(f, *clip))

    def statistics(clips):
        return cached_statistics(FeatureFolder(tmp_path / "features"), clips, "video", [tmp_path / "index"])

    for _ in range(2):
        torch.testing.assert_close(
            statistics(clips), token_statistics(FeatureFolder(tmp_path / "features"), clips, "video")
        )
    assert len(loads) == 3 * len(clips)  # once for the first start, and for each comparison
    assert statistics(clips[:1]).mean.tolist() == [0.0] * 3
    np.save(tmp_path / "features" / "video" / f"{clips[1]}.npy", np.full((3, 3), 7, np.float32))
    torch.testing.assert_close(statistics(clips).mean, torch.full((3,), 21 / 5))
