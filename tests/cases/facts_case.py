"""Facts of synthetic clips for tests: drawn by the world's own code, or written by hand."""

from dataclasses import replace
from functools import cache

from data_curation.fact_texts.clip_facts import ClipFacts, Person, Thing, clip_facts
from data_curation.world.clips import Settings, clip_names, take
from data_curation.world.difficulty import PRESETS
from data_curation.world.facts import facts_of

DRINKING = ClipFacts(
    clip="S101C001P001R001A001",
    actions=(1,),
    parts=(),
    seconds=2.5,
    persons=(Person("red", "long", "navy blue", "short brown"),),
    facing="towards the camera",
    things=(Thing("cup", "blue"),),
    held_thing=None,
    wrong_things=(Thing("ball", "green"),),
    walls="white",
    floor="dark brown",
    furniture=("shelf", "chair"),
    light=1.0,
    occluded=0.0,
    passers_by=0,
)
DRINKING_THEN_CLAPPING = replace(DRINKING, clip="S101C001P002R001A001", actions=(1, 10))
SHAKING_HANDS = replace(
    DRINKING,
    clip="S101C001P001R001A058",
    actions=(58,),
    persons=(*DRINKING.persons, Person("white", "short", "black", "long blond")),
    things=(),
)


def world(level="default", *, seed=3, **changes):
    """Settings of small square clips."""
    settings = Settings(seed, level, PRESETS[level], 128, 72, is_square=True, num_frames=16)
    return replace(settings, **changes)


@cache
def drawn_records(count, *, seed=3, actions_per_clip=1):
    """The lines of facts.jsonl of so many clips."""
    settings = world(seed=seed, actions_per_clip=actions_per_clip)
    return [facts_of(clip, take(clip, settings=settings), settings) for clip in clip_names(count, settings=settings)]


def drawn_facts(count, **changes):
    """The facts of so many clips."""
    return [clip_facts(record) for record in drawn_records(count, **changes)]
