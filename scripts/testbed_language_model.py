"""Train the testbed's small language model from scratch, on texts about synthetic clips and no video.

    python scripts/testbed_language_model.py --texts corpus --out language_model

--texts names folders of `data_curation/synthesize.py --text_only`. OUT is a folder of transformers, for
`train_ski_lvlm.py --base_llm OUT`: a Llama of four narrow layers, a tokenizer of these texts with ChatML's special
tokens and a chat template. OUT/result.json states the perplexity on texts of performances that were held out.

A question is followed by words of its answer between other words about the clip. So the model learns to answer from
what stands there, as a language model does that was pretrained on much text. Projected tokens stand there later.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.testbed.text_pairs import TextPair, split_pairs, text_pairs
from ski_lvlm.cli import parser, positive, run
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.text_files import read_lines

if TYPE_CHECKING:
    from torch.utils.data import Dataset
    from transformers import PreTrainedTokenizerBase

RESULT = "result.json"


def arguments(flags: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    add = p.add_argument
    add("--texts", type=Path, nargs="+", required=True, help="folders with texts.jsonl")
    add("--out", type=Path, required=True, help="folder of the language model")
    add("--pairs", type=positive, default=30_000, help="questions with answers to train on, drawn evenly")
    add("--held_out", type=positive, default=30, help="performances of each folder that are not trained on")
    add("--vocabulary", type=positive, default=2000, help="maximum number of tokens")
    add("--width", type=positive, default=128, help="of the hidden states, a multiple of 32")
    add("--depth", type=positive, default=4, help="layers")
    add("--epochs", type=positive, default=1, help="passes over the pairs")
    add("--batch_size", type=positive, default=8, help="pairs in a step")
    add("--learning_rate", type=float, default=2e-3, help="its peak")
    add("--seed", type=int, default=0, help="seed of weights, order and contexts")
    args = p.parse_args(flags)
    if args.width % 32:
        raise ValueError(f"--width {args.width}: expected a multiple of 32, the width of a head")
    return args


def main(flags: Sequence[str] | None = None) -> int:
    """Read the texts, train tokenizer and model, and save both."""
    args = arguments(flags)
    trained, held_out = read_pairs(args.texts, held_out=args.held_out, seed=args.seed)
    trained = _evenly(trained, args.pairs)
    from transformers import set_seed

    from scripts.testbed.small_llm import new_model, new_tokenizer, perplexity, train

    set_seed(args.seed)
    tokenizer = new_tokenizer((text for pair in trained for text in asdict(pair).values()), size=args.vocabulary)
    model = new_model(tokenizer, width=args.width, depth=args.depth)
    samples = encode_all(trained, tokenizer)
    train(model, tokenizer, samples, args.out, args)
    result = {
        "pairs": len(trained),
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "perplexity": {
            name: perplexity(model, tokenizer, encode_all(pairs, tokenizer), args.out)
            for name, pairs in (("with words", held_out), ("without", [pair.alone() for pair in held_out]))
        },
    }
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    write_json(args.out / RESULT, result)
    print(json.dumps(result))
    return 0


def read_pairs(folders: Iterable[Path], *, held_out: int, seed: int) -> tuple[list[TextPair], list[TextPair]]:
    """Return the pairs to train on, and those of the last performances of each folder.

    Raises:
        ValueError: a folder has no texts, or no more performances than are held out.
    """
    from data_curation.fact_texts.corpus import TEXTS

    trained: list[TextPair] = []
    held_out_pairs: list[TextPair] = []
    for folder in folders:
        file = folder / TEXTS
        if not file.is_file():
            raise ValueError(
                f"{file} does not exist; make it with data_curation/synthesize.py --actions 48 --text_only"
            )
        pairs = text_pairs([json.loads(line) for line in read_lines(file)], seed=seed)
        first, last = split_pairs(pairs, held_out=held_out, source=str(file))
        trained += first
        held_out_pairs += last
    return trained, held_out_pairs


def encode_all(pairs: Sequence[TextPair], tokenizer: "PreTrainedTokenizerBase") -> "Dataset":
    """Return the pairs as token ids and labels, laid out as `train_ski_lvlm.py` lays out its conversations."""
    from scripts.testbed.small_llm import Samples
    from ski_lvlm.datasets.instruction_file import Turn
    from ski_lvlm.llm.conversation import encode

    conversations = [[Turn("user", pair.prompt), Turn("assistant", pair.answer)] for pair in pairs]
    return Samples([encode(turns, tokenizer, token_counts={}) for turns in conversations])


def _evenly(pairs: list[TextPair], count: int) -> list[TextPair]:
    return [pairs[k * len(pairs) // count] for k in range(count)] if len(pairs) > count else pairs


if __name__ == "__main__":
    run(main)
