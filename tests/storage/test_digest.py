"""Digests of weights and of files see everything they are digests of."""

import hashlib
import os

import numpy as np
import pytest
import torch
from torch import nn

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.loading import tokenizer_digest
from ski_lvlm.storage import digests
from ski_lvlm.storage.digests import file_digest, remembered_digest
from tests.cases.tiny_llm import tiny_tokenizer


def test_precision_does_not_change_the_digest_but_training_does():
    model = nn.Linear(64, 64)
    whole = weights_digest(model)
    assert weights_digest(model.to(torch.bfloat16)) == whole
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert weights_digest(model) != whole


def test_every_tensor_counts():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_digest(model)
    model[1].running_mean += 1
    assert weights_digest(model) != before


@pytest.mark.slow
def test_every_single_value_counts_and_so_does_its_place():
    model = nn.Linear(71, 71)  # whose values are no whole number of words
    values = model.weight.data.view(-1)
    digests = {weights_digest(model)}
    for place in range(0, values.numel(), 7):
        value = values[place].item()
        values[place] = value * 2 + 1
        digests.add(weights_digest(model))
        values[place] = value
    values[:2] = values[:2].flip(0).clone()
    digests.add(weights_digest(model))
    assert len(digests) == 2 + len(range(0, values.numel(), 7))


def test_values_far_behind_the_first_block_count():
    model = nn.Embedding(5000, 1000)  # 10 MB in bfloat16, summed in two blocks
    before = weights_digest(model)
    with torch.no_grad():
        model.weight[4999, 999] += 1
    assert weights_digest(model) != before
    with torch.no_grad():
        model.weight[4999, 999] -= 1
        model.weight[:] = torch.cat([model.weight[4194:], model.weight[:4194]])
    assert weights_digest(model) != before, "blocks that changed places"


def test_the_sum_is_that_of_the_definition():
    """Independent of torch's sums, so that another machine or device gives the same."""
    values = torch.arange(8.0).view(2, 4)
    model = nn.Linear(4, 2, bias=False)
    model.weight.data = values
    odd = np.frombuffer(hashlib.shake_256(b"places").digest(16), np.uint64) | 1
    words = values.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint64).reshape(-1)
    mixed = [int(word) ^ (int(word) >> 32) for word in words]
    total = sum(word * int(place) for word, place in zip(mixed, odd, strict=True)) % 2**64
    expected = hashlib.sha256(b"weight(2, 4)" + total.to_bytes(8, "little")).hexdigest()[:16]
    assert weights_digest(model) == expected


def test_without_rounding_the_last_bit_counts_and_settings_always_do():
    model = nn.Linear(8, 8)
    with torch.no_grad():
        model.weight[3, 3] = model.weight[3, 3].to(torch.bfloat16).float()
        rounded, exact = weights_digest(model), weights_digest(model, rounded=False)
        model.weight[3, 3] = torch.nextafter(model.weight[3, 3], torch.tensor(9.0))
    assert weights_digest(model) == rounded and weights_digest(model, rounded=False) != exact
    assert len({weights_digest(model), weights_digest(model, [0.5]), weights_digest(model, [0.4])}) == 3


def test_whole_numbers_and_empty_tensors_are_no_trouble():
    model = nn.Module()
    model.register_buffer("ids", torch.arange(300))
    model.register_buffer("mask", torch.zeros(0, 3, dtype=torch.bool))
    before = weights_digest(model)
    model.ids[256] = 257  # bfloat16 would round both to 256
    assert weights_digest(model) != before


@pytest.mark.parametrize("place", [0, 1 << 20, -1])
def test_every_byte_of_a_file_counts_and_a_large_one_is_read_once(tmp_path, monkeypatch, place):
    monkeypatch.setenv("SKI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_CACHED_FROM", 1000)
    file = tmp_path / "model.gguf"
    content = bytearray(3 << 20)
    file.write_bytes(content)
    before = remembered_digest(file)
    assert before == file_digest(file)
    content[place] = 1
    file.write_bytes(content)
    os.utime(file, ns=(0, 1))  # the clock of files may not have moved on
    assert remembered_digest(file) == file_digest(file) != before
    reads = []
    monkeypatch.setattr(digests, "file_digest", reads.append)
    assert remembered_digest(file) != before and not reads


def test_a_tokenizer_s_words_and_template_count():
    plain, other, extended = tiny_tokenizer(), tiny_tokenizer(chat_template="{{ messages }}"), tiny_tokenizer()
    extended.add_tokens(["<new>"])
    before = tokenizer_digest(plain)
    plain("a longer text than this", truncation=True, max_length=3)
    assert tokenizer_digest(plain) == before == tokenizer_digest(tiny_tokenizer())
    assert len({tokenizer_digest(tokenizer) for tokenizer in (plain, other, extended)}) == 3
