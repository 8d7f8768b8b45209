"""The captioner of synthetic clips, which tells their exact facts, without a model."""

import inspect
from pathlib import Path

from data_curation.captioning.captioner import Caption, Captioner, CaptionerSettings, CroppedClip
from data_curation.choice import choose
from data_curation.fact_texts import action_text, captions, clip_facts, scene_text, vocabulary, wording
from data_curation.ledger import Rejected
from data_curation.prompts import prompt_hash
from ski_lvlm.storage.digests import file_digest


def open_facts(name: str, settings: CaptionerSettings) -> Captioner:
    """Return the captioner. It uses no pictures. Of several styles, each clip gets one.

    Raises:
        ValueError: no folder with facts, a line of them is wrong, or an unknown style.
    """
    if settings.facts is None:
        raise ValueError("--captioner facts without --ntu: expected a folder with facts.jsonl; give --ntu DIR")
    styles, facts = captions.styles(settings.facts_about), clip_facts.read_facts(settings.facts)
    file = settings.facts / clip_facts.FACTS if settings.facts.is_dir() else settings.facts
    version = prompt_hash(*styles, settings.seed, file_digest(file), *rules())

    def describe(clip: CroppedClip) -> Caption:
        if clip.name not in facts:
            raise Rejected(f"{file} has no facts of the clip; make both with data_curation/synthesize.py --actions 48")
        about = choose(styles, key=f"style {settings.seed} {clip.name}")
        return Caption(captions.caption(facts[clip.name], about, seed=settings.seed))

    return Captioner(name, version, describe)


def rules() -> list[str]:
    """Return the code and the words of the captioner, which are its instructions."""
    modules = (action_text, captions, clip_facts, scene_text, vocabulary, wording)
    words = Path(vocabulary.__file__).parent
    return [*map(inspect.getsource, modules), *((words / f).read_text() for f in ("vocabulary.json", "parts.json"))]
