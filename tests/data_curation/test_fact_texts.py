"""Captions, questions and corpora from facts: nothing but facts, the same for a seed, and hostile files refused."""

import json
from dataclasses import replace

import pytest

from data_curation import build, synthesize
from data_curation.captioning.captioner import CaptionerSettings
from data_curation.captioning.open_captioner import open_captioner
from data_curation.fact_texts.action_text import action_sentence, motion_sentences
from data_curation.fact_texts.captions import STYLES, caption, styles
from data_curation.fact_texts.clip_facts import clip_facts, read_facts
from data_curation.fact_texts.corpus import texts_of
from data_curation.fact_texts.question_pairs import question_pairs
from data_curation.fact_texts.vocabulary import part_words, vocabulary
from data_curation.fact_texts.wording import Wording
from data_curation.world.actions import ACTIONS
from data_curation.world.clips import clip_names
from data_curation.world.grammar import steps
from data_curation.world.parts import PARTS
from data_curation.world.surroundings import Piece
from data_curation.world.things import COLOURS
from ski_lvlm.datasets.instruction_file import read_instructions
from tests.cases.facts_case import DRINKING, DRINKING_THEN_CLAPPING, SHAKING_HANDS, drawn_facts, drawn_records, world


def test_there_are_words_for_whatever_the_world_has():
    words, parts = vocabulary(), part_words()
    assert set(words.phrases) == set(words.patterns) == set(ACTIONS)
    assert set(COLOURS) <= set(words.things)
    assert {name for colours in COLOURS.values() for name, _ in colours} <= set(words.colours)
    for action in ACTIONS.values():
        for phrase in (phrase for way in action.ways for step in steps(way) for phrase in step.phrases):
            match phrase.name.split():
                case ["bring" | "thrust" | "wind" | "swing", _, *place]:
                    assert " ".join(place) in parts.places
                case ["stroke", _, direction]:
                    assert f"stroke {direction}" in parts.hands
                case ["stay" | "take" | "put" | "release", *_]:
                    pass
                case [verb, *rest] if verb in PARTS:
                    assert " ".join([verb, *rest[:1]]) in parts.body


@pytest.mark.parametrize("about", STYLES)
def test_a_caption_is_the_same_for_a_seed_and_varies_between_seeds(about):
    captions = {caption(DRINKING, about, seed=seed) for seed in range(30)}
    assert len(captions) > 5
    assert caption(DRINKING, about, seed=0) == caption(DRINKING, about, seed=0)


def test_styles_tell_what_they_are_about():
    for seed in range(20):
        action, scene, dense = (caption(DRINKING, about, seed=seed) for about in ("action", "scene", "dense"))
        assert "drink" in action and "wall" not in action and "shirt" not in action
        assert "drink" not in scene and "white" in scene and "red shirt" in scene and "camera" in scene
        assert "green ball" in scene and "shelf" in scene and "bright" in scene
        assert "drink" in dense and "blue cup" in dense and "red shirt" in dense and "green ball" in dense


def test_two_actions_are_told_in_the_order_of_time():
    for seed in range(40):
        text = action_sentence(DRINKING_THEN_CLAPPING, Wording(seed))
        drink, clap = text.lower().index("drink"), min(text.lower().find(word) % 1000 for word in ("clap", "applaud"))
        assert (drink < clap) != text.startswith("Before")
        assert text.index("person") > 0 and text.endswith(".")


def test_nothing_is_told_that_may_be_out_of_sight():
    hidden = replace(DRINKING, wrong_things=(DRINKING.wrong_things[0]._replace(is_in_view=False),), occluded=0.3)
    for seed in range(20):
        text = caption(hidden, "scene", seed=seed)
        assert "ball" not in text and "trousers" not in text
        assert "look" not in caption(SHAKING_HANDS, "scene", seed=seed), "two persons look at each other"


def test_motion_is_told_part_by_part_and_of_both_persons_at_once():
    settings = world()
    clip = next(clip for clip in clip_names(96, settings=settings) if clip.action == 58)
    facts = clip_facts(texts_of(clip, settings)[0])
    texts = motion_sentences(facts, Wording(0), maximum=9)
    assert any("ach person's" in text for text in texts)
    assert all(text.endswith(".") and "{" not in text for text in texts)
    assert len(motion_sentences(facts, Wording(0), maximum=1)) == 1


def test_parts_of_two_actions_are_told_apart():
    for facts in drawn_facts(12, actions_per_clip=2):
        assert len(facts.actions) == 2 and facts.parts_of(0) and facts.parts_of(1)
        assert facts.parts_of(0) + facts.parts_of(1) == facts.parts


def test_pairs_come_in_all_styles_without_a_question_twice():
    pairs = question_pairs(DRINKING_THEN_CLAPPING, ["scene", "dense"], seed=0)
    assert len({pair.question for pair in pairs}) == len(pairs) >= 8
    assert pairs[0].answer == caption(DRINKING_THEN_CLAPPING, "scene", seed=0)
    assert pairs[1].answer == caption(DRINKING_THEN_CLAPPING, "dense", seed=0)
    assert (
        question_pairs(DRINKING, ["scene", "dense"], seed=0, count=3)
        == question_pairs(DRINKING, ["scene", "dense"], seed=0)[:3]
    )
    assert {pair.kind for pair in question_pairs(DRINKING, ["action"], seed=0, kinds=["action"])} == {"action"}


@pytest.mark.parametrize("text", ["", "scene,poem", "Scene", ","])
def test_unknown_styles_are_refused(text):
    with pytest.raises(ValueError, match="expected some of action,scene,dense"):
        styles(text)


@pytest.mark.parametrize(
    "change",
    [
        {"actions": []}, {"actions": [{"number": "x"}]}, {"persons": None}, {"seconds": float("nan")}, {"seconds": 0},
        {"things": [{"thing": 3, "colour": "red"}]}, {"room": "white"}, {"clip": None}, {"facing": {}},
        {"parts": [{"part": "stay", "person": 1, "start": float("inf"), "end": 1}]},
    ],
)  # fmt: skip
def test_wrong_facts_are_refused_with_file_and_line(tmp_path, change):
    record = drawn_records(1)[0]
    (tmp_path / "facts.jsonl").write_text(f"{json.dumps(record)}\n\n{json.dumps({**record, **change})}\n")
    with pytest.raises(ValueError, match="facts.jsonl: line 3 is no facts of a clip.*synthesize.py"):
        read_facts(tmp_path)


@pytest.mark.parametrize("content", ["[1]\n", "{\n", "[" * 100_000, "null\n", "\x00\n"])
def test_files_of_something_else_are_refused(tmp_path, content):
    (tmp_path / "facts.jsonl").write_text(content)
    with pytest.raises(ValueError, match="facts.jsonl: line 1 is "):
        read_facts(tmp_path)


def test_absent_and_empty_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist; expected the facts"):
        read_facts(tmp_path)
    (tmp_path / "facts.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no facts"):
        read_facts(tmp_path)
    with pytest.raises(ValueError, match="give --ntu DIR"):
        open_captioner("facts", CaptionerSettings())


def test_facts_of_earlier_versions_count_as_in_view():
    record = json.loads(json.dumps(drawn_records(1)[0]))
    del record["room"]["furniture_in_view"]
    record["wrong_things"] = [{"thing": "cup", "colour": "red"}]
    facts = clip_facts(record)
    assert facts.furniture == tuple(record["room"]["furniture"]) and facts.wrong_things[0].is_in_view


def test_the_frame_decides_on_what_is_in_view():
    from data_curation.synthetic.camera import Camera
    from data_curation.world.facts import stands_in_view

    camera = Camera((0.0, 1.2, -3.0), 0.0, 0.1)
    places = {"near": (0.0, 0.0), "aside": (2.0, 0.0), "far aside": (4.0, 0.0), "behind": (0.0, -6.0)}
    pieces = {name: Piece("ball", place, 0.0) for name, place in places.items()}
    wide = {name for name, piece in pieces.items() if stands_in_view(piece, camera=camera, is_square=False)}
    square = {name for name, piece in pieces.items() if stands_in_view(piece, camera=camera, is_square=True)}
    assert wide == {"near", "aside"} and square == {"near"}


def test_texts_without_film_are_those_of_the_film_and_the_same_again():
    settings = world()
    clip = clip_names(3, settings=settings)[2]
    record, texts = texts_of(clip, settings)
    assert record == drawn_records(3)[2] and (record, texts) == texts_of(clip, settings)
    assert [text["about"] for text in texts] == list(STYLES)
    assert all(text["caption"] == caption(clip_facts(record), text["about"], seed=3) for text in texts)
    assert all(pair["question"] and pair["answer"] for text in texts for pair in text["pairs"])


@pytest.mark.slow
def test_the_command_writes_texts_and_refuses_a_folder_of_clips(tmp_path, capsys):
    command = ["--actions", "48", "--clips", "5", "--num_frames", "16", "--text_only", "--workers", "1"]
    assert synthesize.main([*command, "--out", str(tmp_path / "texts")]) == 0
    assert "15 captions about 5 performances" in capsys.readouterr().out
    assert len((tmp_path / "texts" / "texts.jsonl").read_text().splitlines()) == 15
    assert len(read_facts(tmp_path / "texts")) == 5
    (tmp_path / "clips" / "rgb").mkdir(parents=True)
    with pytest.raises(ValueError, match="whose facts would be overwritten"):
        synthesize.main([*command, "--out", str(tmp_path / "clips")])


@pytest.mark.slow
def test_clips_become_captions_and_pairs_of_their_facts(tmp_path):
    clips, out = tmp_path / "clips", tmp_path / "out"
    small = ["--actions", "48", "--clips", "6", "--side", "48", "--num_frames", "16", "--workers", "1"]
    assert synthesize.main(["--out", str(clips), *small]) == 0
    command = ["--ntu", str(clips), "--out", str(out), "--captioner", "facts", "--qa", "facts", "--crop", "none"]
    command += ["--workers", "1", "--detector", "none", "--pairs_per_clip", "4"]
    assert build.main([*command, "--facts_about", "scene,dense"]) == 0
    facts, talks = read_facts(clips), read_instructions(out / "instructions.json")
    assert len(talks) == 16 and all(talk.skeleton == talk.video for talk in talks)
    first = [talk for talk in talks if talk.id.endswith("_0")]
    assert [talk.turns[1].text for talk in first] == [caption(facts[t.video], "scene", seed=0) for t in first]
    assert not list((out / "crops").glob("*")) and (out / "questions.json").is_file()
    before = (out / "instructions.json").read_bytes()
    assert build.main([*command, "--facts_about", "scene,dense"]) == 0
    assert (out / "instructions.json").read_bytes() == before
    assert build.main([*command, "--facts_about", "action", "--seed", "1"]) == 0
    assert (out / "instructions.json").read_bytes() != before
    with pytest.raises(ValueError, match="--crop none --captioner cogvlm: expected one that uses no pictures"):
        build.main([*command, "--captioner", "cogvlm"])
