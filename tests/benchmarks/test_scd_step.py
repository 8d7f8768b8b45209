from dataclasses import asdict

import numpy as np
import pytest
import torch

from benchmarks.scd_step import (
    END,
    PaddedText,
    Sizes,
    build,
    clip_sizes,
    largest_difference,
    measure,
    table,
    write_checkpoint,
)
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recognition.class_sentences import PROMPT
from tests.cases.recordings import GOLDEN

TINY = Sizes(batch=2, frames=2, side=32, classes=12, layers=2, width=192)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_checkpoint(folder, TINY)
    return folder


@pytest.fixture(scope="module")
def turns(checkpoint):
    return {way: measure(way, checkpoint, TINY) for way in ("published", "plain", "ours")}


def test_the_defaults_are_the_papers_sizes():
    assert asdict(Sizes()) == {"batch": 4, "frames": 16, "side": 224, "classes": 110, "layers": 12, "width": 768}
    text, vision = clip_sizes(Sizes())["text_config"], clip_sizes(Sizes())["vision_config"]
    assert (text["hidden_size"], text["num_attention_heads"], text["intermediate_size"]) == (512, 8, 2048)
    assert (vision["hidden_size"], vision["num_attention_heads"], vision["patch_size"]) == (768, 12, 16)


@pytest.mark.slow
def test_all_ways_compute_the_same(turns):
    assert largest_difference(list(turns.values())) < 1e-5
    for similarity in turns["ours"]["similarity"]:  # or any two text encoders would seem equal
        assert torch.tensor(similarity).view(TINY.batch, -1).std(1).min() > 1e-3


@pytest.mark.slow
def test_other_numbers_are_noticed(turns):
    other = {**turns["ours"], "similarity": [[x + 1e-3 for x in side] for side in turns["ours"]["similarity"]]}
    assert largest_difference([turns["plain"], other]) == pytest.approx(1e-3, rel=1e-2)
    assert largest_difference([turns["plain"], {**turns["ours"], "loss": 0.0}]) == pytest.approx(1.0)


@pytest.mark.slow
def test_each_way_trains_what_it_says(checkpoint):
    def trained(way):
        model = build(way, checkpoint, TINY)
        return {name: p.requires_grad for name, p in model.named_parameters() if name.startswith("teacher.text")}

    assert all(trained("published").values())
    assert not any(trained("plain").values())
    assert not any(trained("ours").values())


def test_sentences_are_about_as_long_as_in_clips_own_vocabulary(checkpoint):
    names = ["drink water", "hand waving", "kicking something", "sneeze/cough", "walking apart from each other"]
    assert set(names) <= set(open_data_set("ntu120").class_names)
    ids = load_text_encoder(str(checkpoint)).tokenizer([PROMPT.format(name=name) for name in names])["input_ids"]
    golden_ids = np.load(GOLDEN / "vificlip_golden.npz")["input_ids"]
    lengths = np.array([len(row) for row in ids])
    assert (((golden_ids == END).argmax(1) + 1) - lengths).tolist() == [0, 0, 0, 1, 0]  # "sneeze" is two of CLIP's


@torch.no_grad()
def test_padding_after_the_end_of_a_sentence_changes_nothing(checkpoint):
    encoder = load_text_encoder(str(checkpoint))
    prompts = TINY.prompts
    shape = encoder.tokenizer(prompts, padding="longest", return_tensors="pt")["input_ids"].shape
    assert shape[1] < encoder.max_length / 4
    assert torch.allclose(encoder(prompts), PaddedText(encoder)(prompts), atol=1e-5)


@pytest.mark.slow
def test_the_table_shows_each_part_of_each_way(turns):
    quick = dict.fromkeys(turns["ours"]["seconds"], (0.001, 0.002))
    slow = dict.fromkeys(quick, (0.01, 0.02))
    results = [{**turns[way], "seconds": slow} for way in ("published", "plain")] + [
        {**turns["ours"], "seconds": quick}
    ]
    lines = table(results, clock=1).splitlines()
    assert [line[:14].strip() for line in lines[1:5]] == ["whole step", "video tower", "text towers", "skeleton"]
    assert all(line.endswith("1        2 ms  10.0 x") for line in lines[1:5])
    assert "GB" in lines[5]
