"""The writer of question-answer pairs from the exact facts of synthetic clips, without a model."""

import inspect
from collections.abc import Sequence
from pathlib import Path

from data_curation.captioning.facts_captioner import rules
from data_curation.fact_texts import question_pairs
from data_curation.fact_texts.captions import styles
from data_curation.fact_texts.clip_facts import read_facts
from data_curation.ledger import Rejected
from data_curation.prompts import QUESTIONS, Kind, prompt_hash
from data_curation.questions.make_qa import CaptionedClip, QaWriter, Written
from data_curation.questions.pairs import Pair


def facts_writer(folder: Path | None, about: str, kinds: Sequence[Kind], *, seed: int) -> QaWriter:
    """Return a writer of pairs in these styles, separated by commas.

    Raises:
        ValueError: no folder with facts, or an unknown style.
    """
    if folder is None:
        raise ValueError("--qa facts without --ntu: expected a folder with facts.jsonl; give --ntu DIR")
    names, facts = styles(about), read_facts(folder)

    def write(clip: CaptionedClip, count: int, earlier: Sequence[Pair]) -> Written:
        if clip.name not in facts:
            raise Rejected(f"{folder} has no facts of the clip; make it with data_curation/synthesize.py --actions 48")
        pairs = question_pairs.question_pairs(facts[clip.name], names, seed=seed, kinds=kinds, count=count)
        if not pairs:
            raise Rejected(f"no fact answers a question of --kinds {','.join(kinds)}; give more of them")
        return Written(pairs, [], 0, 0, 0)

    version = prompt_hash(QUESTIONS, *kinds, *names, seed, inspect.getsource(question_pairs), *rules())
    return QaWriter("facts", version, tuple(kinds), write)
