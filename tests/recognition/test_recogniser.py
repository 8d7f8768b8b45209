import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ski_lvlm.datasets.selection import select
from ski_lvlm.dual_encoders.language import DualEncoder, InLanguage
from ski_lvlm.recognition.class_sentences import ClassSentences
from ski_lvlm.recognition.recogniser import Recogniser, check_classes, skeleton_recogniser, video_recogniser
from ski_lvlm.recognition.similarities import Similarities, compare, fused, similarities
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from ski_lvlm.storage.shards import WHOLE, Shard
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache
from tests.cases.recognition_case import clip, ntu_videos, skeleton_run, student_run
from tests.cases.skeleton_case import SELECTION, SPLIT, packed_set
from tests.cases.text_case import tiny_clip

CPU = torch.device("cpu")
SENTENCES = ClassSentences((("short",), ("rather long", "longer than all")))
NAMES = [f"clip{number}" for number in range(7)]


class Lengths(DualEncoder):
    """Compares a clip, which is one number, with the lengths of sentences."""

    temperature = torch.tensor(0.5)

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x, prompts):
        self.batches.append(len(x))
        return InLanguage(x, x / torch.tensor([float(len(prompt)) for prompt in prompts]))


def number_of(name):
    if name == "clip3":
        raise VideoError("clip3.avi: cannot be decoded")
    return torch.tensor([float(name.removeprefix("clip"))])


def recogniser(read=number_of, **changes):
    usual = Recogniser("video", Lengths(), "weights", NAMES, read, "here", "{name}", "canonical", SPLIT.seen)
    return dataclasses.replace(usual, **changes)


def run(folder, model, *, names=NAMES, sentences=SENTENCES, batch_size=2, shard=WHOLE):
    return similarities(model, names, sentences, folder=folder, device=CPU, batch_size=batch_size, shard=shard)


def test_similarities_of_a_class_are_the_mean_over_its_sentences(tmp_path):
    result = run(tmp_path, recogniser())
    expected = torch.tensor([[n / 5, (n / 11 + n / 15) / 2] for n in range(7)])
    readable = [0, 1, 2, 4, 5, 6]
    torch.testing.assert_close(result.values[readable], expected[readable])
    assert result.values[3].isnan().all() and result.errors == {"clip3": "clip3.avi: cannot be decoded"}


def test_a_killed_run_resumes_after_its_last_batch(tmp_path):
    def killed_at_5(name):
        if name == "clip5":
            raise KeyboardInterrupt
        return number_of(name)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, recogniser(killed_at_5))
    read = []

    def noting(name):
        read.append(name)
        return number_of(name)

    result = run(tmp_path, recogniser(noting))
    assert read == ["clip3", "clip4", "clip5", "clip6"]  # the unreadable one is tried again
    torch.testing.assert_close(result.values, run(tmp_path / "at once", recogniser()).values, equal_nan=True)


def test_a_finished_run_asks_the_model_nothing(tmp_path):
    run(tmp_path, recogniser(), names=NAMES[:3])
    again = recogniser()
    run(tmp_path, again, names=NAMES[:3])
    assert again.model.batches == []


@pytest.mark.parametrize(
    "changes", [{"digest": "others"}, {"origin": "elsewhere"}, {"modality": "skeleton"}], ids=lambda c: next(iter(c))
)
def test_another_model_or_place_begins_anew(tmp_path, changes):
    run(tmp_path, recogniser(), names=NAMES[:3])
    other = recogniser(**changes)
    run(tmp_path, other, names=NAMES[:3])
    assert sum(other.model.batches) == 3


def test_other_sentences_begin_anew(tmp_path):
    run(tmp_path, recogniser(), names=NAMES[:2])
    other = ClassSentences((("shorter",), ("rather long", "longer than all")))
    assert run(tmp_path, recogniser(), names=NAMES[:2], sentences=other).values[1, 0] == pytest.approx(1 / 7)


def test_a_torn_row_is_done_again_and_a_foreign_file_refused(tmp_path):
    whole = run(tmp_path, recogniser(), names=NAMES[:3]).values
    (file,) = tmp_path.glob("similarity_video_*.npy")
    rows = np.load(file, mmap_mode="r+")
    rows[1, 1] = np.nan
    rows.flush()
    torch.testing.assert_close(run(tmp_path, recogniser(), names=NAMES[:3]).values, whole)
    np.save(file, np.zeros((2, 2)))
    with pytest.raises(
        ValueError, match=r"found float64 values of shape \(2, 2\), expected float32, \(3, 2\); delete it"
    ):
        run(tmp_path, recogniser(), names=NAMES[:3])


def test_shards_share_the_batches_and_the_whole_reads_no_clip_again(tmp_path):
    whole = run(tmp_path / "whole", recogniser())
    models = [recogniser() for _ in range(4)]
    for shard, model in zip((Shard(2, 3), Shard(1, 3), Shard(3, 3), WHOLE), models, strict=True):
        shared = run(tmp_path / "out", model, shard=shard)
    assert [model.model.batches for model in models] == [[1], [2, 1], [2], []]  # clip3 cannot be read by anybody
    assert torch.equal(shared.values.nan_to_num(-1), whole.values.nan_to_num(-1)) and shared.errors == whole.errors


def test_a_division_into_other_shards_goes_on_with_what_the_first_left(tmp_path):
    run(tmp_path, recogniser(), shard=Shard(1, 2))
    model = recogniser()
    run(tmp_path, model, shard=Shard(1, 4))
    run(tmp_path, model, shard=Shard(2, 4))
    assert model.model.batches == [1]


def test_what_is_beside_a_clip_does_not_depend_on_the_shard_or_on_a_kill(tmp_path):
    """Last digits may differ with what is in a batch, so equal batches give equal values."""

    class Beside(Lengths):
        def forward(self, x, prompts):
            return InLanguage(x, x.sum() / torch.tensor([float(len(prompt)) for prompt in prompts]).expand(len(x), -1))

    whole = run(tmp_path / "whole", recogniser(model=Beside()))
    for shard in (Shard(1, 2), Shard(2, 2), WHOLE):
        shared = run(tmp_path / "out", recogniser(model=Beside()), shard=shard)
    assert torch.equal(shared.values.nan_to_num(-1), whole.values.nan_to_num(-1))


def test_a_batch_without_a_readable_clip_does_not_reach_the_model():
    model = recogniser()
    ((answer,),) = compare(model, [["clip3"]], SENTENCES, device=CPU)
    assert answer.similarity is None and model.model.batches == []


def test_an_answer_that_is_no_number_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="similarities of clip0 are not numbers"):
        run(tmp_path, recogniser(lambda name: torch.tensor([torch.inf])), names=["clip0"])


def test_other_errors_are_not_taken_for_unreadable_clips(tmp_path):
    def broken(name):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, recogniser(broken))


def test_fused_similarities_need_both():
    one = Similarities(torch.tensor([[0.2, 0.4], [torch.nan, torch.nan]]), {"b": "unreadable"})
    two = Similarities(torch.tensor([[0.4, 0.0], [0.1, 0.2]]), {})
    result = fused([one, two])
    torch.testing.assert_close(result.values[0], torch.tensor([0.3, 0.2]))
    assert result.values[1].isnan().all() and result.errors == {"b": "unreadable"}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.slow
def test_a_student_reads_decoded_and_cached_frames_alike(tmp_path, text):
    folder = student_run(tmp_path / "run", backbone=text)
    ntu = ntu_videos(tmp_path / "ntu", actions=(6, 23), performers=(9,))
    cache = FrameCache.create(tmp_path / "cache", num_frames=2, side=8, framing="whole")
    source = DecodedFrames(ntu, side=8, framing="whole")
    for name in source.names:
        cache.write(name, source.window(name, start=0.0, stop=1.0, num_frames=2))
    decoded, cached = video_recogniser(folder, videos=ntu), video_recogniser(folder, videos=ntu, cache=cache.folder)
    assert decoded.clips == cached.clips == [clip(6), clip(23)] and decoded.digest == cached.digest
    for name in decoded.clips:
        assert torch.equal(decoded.read(name), cached.read(name)) and decoded.read(name).shape == (2, 3, 8, 8)


@pytest.mark.slow
def test_a_cache_of_other_frames_is_refused(tmp_path, text):
    folder = student_run(tmp_path / "run", backbone=text)
    for framing, side in (("centre", 8), ("whole", 4)):
        cache = FrameCache.create(tmp_path / f"{framing}{side}", num_frames=2, side=side, framing=framing)
        with pytest.raises(ValueError, match=rf"holds '{framing}' frames of {side} px; .*'whole'"):
            video_recogniser(folder, cache=cache.folder)
    with pytest.raises(ValueError, match="needs --ntu DIR"):
        video_recogniser(folder)


@pytest.mark.slow
def test_a_loaded_student_is_frozen_and_its_digest_knows_every_value(tmp_path, text):
    ntu = ntu_videos(tmp_path / "ntu", actions=(6,), performers=(9,))
    one = video_recogniser(student_run(tmp_path / "run", backbone=text), videos=ntu)
    assert not any(p.requires_grad for p in one.model.parameters()) and not one.model.training
    weights = load_file(tmp_path / "run" / "model.safetensors")
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name].view(-1)[-1] += 1e-6
    save_file(weights, tmp_path / "run" / "model.safetensors")
    assert video_recogniser(tmp_path / "run", videos=ntu).digest != one.digest


@pytest.mark.slow
def test_skeletons_are_read_as_the_card_says(tmp_path, text):
    folder = skeleton_run(tmp_path / "run", text=text)
    packed = PackedSkeletons.open(packed_set(tmp_path / "prepared", performers=(9,)))
    model = skeleton_recogniser(folder, packed)
    assert model.read(clip(6)).shape == (8, 2, 25, 3) and model.seen == SPLIT.seen
    card = json.loads((folder / "skeleton_encoder.json").read_text())
    card["preprocessing"]["cleaning"] = "another"
    (folder / "skeleton_encoder.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="cleaning: 'another' against"):
        skeleton_recogniser(folder, packed)


@pytest.mark.slow
def test_a_co_trained_skeleton_clip_knows_the_names_it_was_trained_with(tmp_path, text):
    packed = PackedSkeletons.open(packed_set(tmp_path / "prepared", actions=(6,), performers=(9,)))
    skeleton_run(student_run(tmp_path / "run", backbone=text, names="star") / "skeleton_clip", text=text)
    assert skeleton_recogniser(tmp_path / "run", packed).names == "star"
    assert skeleton_recogniser(tmp_path / "run" / "skeleton_clip", packed).names == "canonical"


def test_a_skeleton_of_nobody_is_not_scored(tmp_path, text):
    folder = skeleton_run(tmp_path / "run", text=text)
    with packed_writer(tmp_path / "prepared", layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as writer:
        writer.add(clip(6), np.full((20, 1, 25, 3), np.nan, np.float32))
    result = run(tmp_path, skeleton_recogniser(folder, PackedSkeletons.open(tmp_path / "prepared")), names=[clip(6)])
    assert result.values.isnan().all() and "nobody is in any frame" in result.errors[clip(6)]


def test_classes_must_be_new_to_the_model(tmp_path):
    check_classes(recogniser(), SELECTION, folder=tmp_path, generalised=True)
    check_classes(recogniser(seen=()), SELECTION, folder=tmp_path)
    with pytest.raises(ValueError, match="was trained on drink water, jump up, .*--split synthetic/1"):
        check_classes(recogniser(), select(split="synthetic/1"), folder=tmp_path)
    with pytest.raises(ValueError, match="was not trained on clapping, .*leave out --generalised"):
        check_classes(recogniser(seen=()), SELECTION, folder=tmp_path, generalised=True)
