import json
import os
import shutil

import numpy as np
import pytest

from ski_lvlm.datasets import instruction_index
from ski_lvlm.datasets.instruction_file import Turn, read_instructions
from ski_lvlm.datasets.instruction_index import indexed_instructions
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm import sample_index as module
from ski_lvlm.lvlm import sample_measures
from ski_lvlm.lvlm.features import FeatureError, FeatureFolder
from ski_lvlm.lvlm.sample_index import sample_index
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.lvlm.usable_samples import drop_unusable
from tests.cases.lvlm_case import CLIPS, TOKENS, write_features, write_instructions
from tests.cases.template_case import GEMMA, LLAMA_2, template_tokenizer
from tests.cases.tiny_llm import CHATML, tiny_tokenizer

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _every_file_is_large(monkeypatch):
    monkeypatch.setattr(instruction_index, "_SMALL", 0)
    monkeypatch.setattr(module, "_SMALL", 0)


def opened(folder, tokenizer=None, **settings):
    """Open the case in a folder, as a start does."""
    conversations = indexed_instructions(folder / "i.json", [folder / "index"])
    features = FeatureFolder(folder / "features")
    return InstructDataset(conversations, features, tokenizer or tiny_tokenizer(), SampleSettings(**settings))


def case(folder, clips=tuple(CLIPS), video_only=()):
    write_instructions(folder / "i.json", clips, video_only=video_only)
    write_features(folder / "features")
    return folder


def usable(folder, tokenizer=None, *, skip_missing=False, **settings):
    return drop_unusable(opened(folder, tokenizer, **settings), skip_missing=skip_missing, folders=[folder / "index"])


@pytest.fixture
def rendered(monkeypatch):
    """Note the conversations that are laid out."""
    names, laid_out = [], sample_measures.pieces_of

    def noting(turns, template, modalities):
        names.append(turns)
        return laid_out(turns, template, modalities)

    monkeypatch.setattr(sample_measures, "pieces_of", noting)
    return names


LONG = Turn("user", "Why? " * 30 + "\n<video>\n<skeleton>")


@pytest.mark.parametrize("template", [CHATML, None, LLAMA_2, GEMMA], ids=["chatml", "vicuna", "llama", "gemma"])
@pytest.mark.parametrize("limit", [60, 2048])
def test_measures_are_those_of_the_samples(tmp_path, template, limit):
    tokenizer = template_tokenizer(template) if template else tiny_tokenizer(chat_template=None)
    case(tmp_path, video_only=CLIPS[:1])
    conversations = read_instructions(tmp_path / "i.json")
    turns = conversations[1].turns
    conversations[1] = conversations[1]._replace(
        turns=(*turns, Turn("user", "And </s> then?"), Turn("assistant", "It <video> ends."))
    )
    features = FeatureFolder(tmp_path / "features")
    settings = SampleSettings(max_length=limit, skeleton_dropout=0.5)
    data = InstructDataset(conversations, features, tokenizer, settings)
    index = sample_index(data, ())
    for k, conversation in enumerate(conversations):
        counts = {name: count for name, (count, _) in TOKENS.items() if getattr(conversation, name)}
        encoded = data.encode(conversation, counts)
        trained = encoded.labels != IGNORED
        assert index.lengths[k] == len(encoded.ids)
        assert (index.trained[k], index.trained_within[k]) == (trained.sum(), trained[:limit].sum())
        assert index.bare_lengths[k] == len(data.encode(conversation, {"video": counts["video"]}).ids)


def test_lengths_of_an_epoch_are_those_of_its_samples(tmp_path):
    data = usable(case(tmp_path, tuple(CLIPS) * 4, video_only=CLIPS[:1]), skeleton_dropout=0.5, max_length=70)
    for epoch in range(2):
        assert data.lengths(epoch).tolist() == [len(data[epoch, k].ids) for k in range(len(data))]
    assert data.lengths(0).tolist() != data.lengths(1).tolist()


def test_another_start_measures_nothing_and_has_the_same_samples(tmp_path, rendered, monkeypatch, caplog):
    case(tmp_path, (*CLIPS, "S001C001P001R001A099"))
    first = usable(tmp_path, skip_missing=True)
    assert len(rendered) == 4
    monkeypatch.setattr(FeatureFolder, "_indices", None)  # nothing is searched either
    messages = list(caplog.messages)
    caplog.clear()
    second = usable(tmp_path, skip_missing=True)
    assert len(rendered) == 4 and caplog.messages == messages != []
    assert list(second.conversations) == list(first.conversations)
    for k in range(4):
        a, b = first[k], second[k]
        assert a.ids.tolist() == b.ids.tolist() and all((a.features[m] == b.features[m]).all() for m in TOKENS)


def test_clips_without_features_are_refused_as_before_also_when_others_were_measured(tmp_path):
    case(tmp_path, (*CLIPS, "S001C001P001R001A099"))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"1 of 5 .*\['video/S001C001P001R001A099', 'skeleton/S.*--skip"):
            usable(tmp_path)
        assert len(usable(tmp_path, skip_missing=True)) == 4


def other_tokenizer(folder):
    return {"tokenizer": tiny_tokenizer(chat_template=CHATML.replace("|im_end|>", "|im_end|> "))}


def longer_answer(folder):
    records = json.loads((folder / "i.json").read_text())
    records[0]["conversations"][1]["value"] = "Something else altogether, and longer."
    (folder / "i.json").write_text(json.dumps(records))
    return {}


def longer_feature(folder):
    np.save(folder / "features" / "video" / f"{CLIPS[0]}.npy", np.ones((9, TOKENS["video"][1]), np.float16))
    return {}


def same_size_later(folder):
    file = folder / "features" / "video" / f"{CLIPS[0]}.npy"
    os.utime(file, ns=(1, 1))
    return {}


def other_limit(folder):
    return {"max_length": 60}


def dropout(folder):
    return {"skeleton_dropout": 0.5}


def one_modality(folder):
    return {"modalities": ("video",)}


def other_template(folder):
    return {"chat_template": "vicuna"}


@pytest.mark.parametrize(
    "change",
    [*(other_tokenizer, longer_answer, longer_feature, same_size_later), *(other_limit, dropout, one_modality)]
    + [other_template],
)
def test_whatever_measures_depend_on_makes_new_ones(tmp_path, rendered, change):
    case(tmp_path)
    usable(tmp_path)
    settings = change(tmp_path)
    rendered.clear()
    data = usable(tmp_path, **settings)
    assert rendered
    assert data.lengths(0).tolist() == [len(data[k].ids) for k in range(4)]


def test_a_feature_that_is_gone_is_missed(tmp_path):
    usable(case(tmp_path))
    (tmp_path / "features" / "skeleton" / f"{CLIPS[2]}.npy").unlink()
    with pytest.raises(ValueError, match=f"1 of 4 conversations name clips without features.*skeleton/{CLIPS[2]}"):
        usable(tmp_path)


def test_each_file_is_opened_once_however_many_conversations_name_it(tmp_path, monkeypatch):
    files, count = [], FeatureFolder.token_count
    monkeypatch.setattr(FeatureFolder, "token_count", lambda f, *clip: files.append(clip) or count(f, *clip))
    usable(case(tmp_path, tuple(CLIPS) * 5))
    assert len(files) == len(set(files)) == 2 * len(CLIPS)


def test_the_error_is_about_the_first_conversation_at_fault(tmp_path):
    case(tmp_path)
    (tmp_path / "features" / "video" / f"{CLIPS[3]}.npy").write_bytes(b"damaged")
    conversations = read_instructions(tmp_path / "i.json")
    tokenizer = tiny_tokenizer(chat_template=CHATML.replace("<|im_end|>\n", ""))
    tokenizer.eos_token = None
    features = FeatureFolder(tmp_path / "features")
    empty = conversations[1]._replace(turns=(conversations[1].turns[0], Turn("assistant", "")))
    for order, message in (((0, 1, 3), "has no token to train on"), ((0, 3, 1), "not a whole .npy")):
        data = InstructDataset(
            [empty if k == 1 else conversations[k] for k in order], features, tokenizer, SampleSettings()
        )
        with pytest.raises(ValueError, match=message):
            drop_unusable(data)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", "cut", "flat", "whole numbers"])
def test_a_header_that_is_read_fast_is_checked_as_the_whole_file_is(tmp_path, content):
    file = tmp_path / "features" / "video" / "x.npy"
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        shape, kind = {"cut": ((5, 8), float), "flat": ((40,), float), "whole numbers": ((5, 8), int)}[content]
        np.save(file, np.ones(shape, kind))
    if content == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    features = FeatureFolder(tmp_path / "features")
    with pytest.raises(FeatureError) as expected:
        features.load("x", "video")
    with pytest.raises(FeatureError) as error:
        features.token_count("x", "video")
    assert str(error.value) == str(expected.value)


def test_features_in_one_folder_are_found_again(tmp_path):
    """Without folders for modalities, as other programs write them."""
    case(tmp_path)
    for name, ending in (("video", ""), ("skeleton", "_pose")):
        for file in (tmp_path / "features" / name).iterdir():
            file.rename(tmp_path / "features" / f"{file.stem}{ending}.npy")
        shutil.rmtree(tmp_path / "features" / name)
    first, second = usable(tmp_path), usable(tmp_path)
    assert all(set(data[0].features) == {"video", "skeleton"} for data in (first, second))
    assert (second[0].ids == PLACEHOLDER_IDS["skeleton"]).sum() == TOKENS["skeleton"][0]
