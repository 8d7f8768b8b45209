"""Captions against exact facts: sentences with known readings, denials, hostile texts, shares, comparisons, foils."""

import json
from dataclasses import replace

import pytest

from data_curation.captioning.action_names import action_sentence, usual_sentence
from data_curation.fact_texts.captions import STYLES, caption
from data_curation.fact_texts.clip_facts import Thing
from data_curation.fact_texts.vocabulary import vocabulary
from eval.choosing.files import read_choices
from eval.fact_checks.actions import mentions, order_of
from eval.fact_checks.foils import foils
from eval.fact_checks.grades import grade, summary
from eval.fact_checks.persons import has_passers, told_number
from eval.fact_checks.results import compare
from eval.fact_checks.statements import read_caption
from eval.fact_checks.text import tokens_of
from eval.fact_checks.things import thing_mentions
from eval.facts import main
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.storage.files import write_json
from tests.cases.facts_case import DRINKING, DRINKING_THEN_CLAPPING, SHAKING_HANDS, drawn_facts, drawn_records

CLASSES = open_data_set("synthetic48").description.classes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("ski_lvlm.recognition.intervals.DRAWS", 100)


def actions_in(text):
    return [mention.action for mention in mentions(tokens_of(text)) if not mention.is_denied]


def things_in(text):
    tokens = tokens_of(text)
    return [(m.kind, m.colour) for m in thing_mentions(tokens, mentions(tokens)) if not m.is_denied]


def said(text, facts=DRINKING):
    return {(s.kind, s.text): s.note or s.is_right for s in read_caption(text, facts).statements}


# --- what our own captions say is found again --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("about", STYLES)
def test_our_captions_are_right_in_all_that_they_say(about):
    for facts in (*drawn_facts(48), *drawn_facts(12, actions_per_clip=2)):
        for seed in range(2):
            text = caption(facts, about, seed=seed)
            reading = read_caption(text, facts)
            assert all(statement.is_right for statement in reading.statements), (text, reading)
            missing = {kind for kind, _ in reading.not_named}
            if about != "scene":
                assert not missing & {"action", "count", "order"}, text
            if about != "action":
                assert not missing & {"room", "facing"} - {"room" if facts.light else ""}, text


@pytest.mark.parametrize("action", CLASSES, ids=lambda action: action.id)
def test_sentences_of_the_data_set_name_their_class_alone(action):
    number = int(action.id[1:])
    for text in (usual_sentence(action), *(action_sentence(f"clip {k}", action=action) for k in range(5))):
        assert set(actions_in(text)) == {number}, text


@pytest.mark.parametrize("number", vocabulary().phrases)
def test_every_phrase_names_its_action_alone(number):
    usual = vocabulary().usual_things.get(number)
    for phrase in vocabulary().phrases[number]:
        for thing in [usual] if usual else ["a red box", "something", "a light brown ball"]:
            assert set(actions_in(f"Somebody is {phrase.format(thing=thing)}.")) == {number}, phrase


# --- sentences with known readings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("He drinks some water, then she claps.", [1, 10]),
        ("A man is brushing his teeth while a woman combs her hair.", [3, 4]),
        ("The two shake hands and hug.", [58, 55]),
        ("They clink glasses and then drink.", [113]),
        ("Two people do a high-five.", [112]),
        ("She kicks a ball.", [24]),
        ("She kicks the other person.", [51]),
        ("She kicks.", []),
        ("A person hands a cup to the other person.", [56]),
        ("The right hand goes to the other person.", []),
        ("One person gives the other person a pat on the back.", [53]),
        ("One person gives the other person a kick.", [51]),
        ("One person gives the other person a cup.", [56]),
        ("A person drinks, followed by clapping.", [1, 10]),
        ("A person follows the other person.", [116]),
        ("He picked the light brown box up.", [6]),
        ("A tennis racket lies about.", []),
        ("She swings the red tennis racket.", [65]),
        ("A person stands in a room and looks at the camera.", []),
        ("A bowl of apples is on the table.", []),
        ("The hips go up and down.", []),
        ("The person sits on a chair.", []),
        ("The person sits down on a chair.", [8]),
        ("She is getting up from the chair.", [9]),
        ("He runs on the spot.", [99]),
        ("He lets the cup fall.", [5]),
        ("He falls to the floor.", [43]),
        ("A person talks on the phone", [28]),
        ("A person plays with a phone", [29]),
        ("", []),
    ],
)
def test_actions_are_read_by_their_names(text, actions):
    assert actions_in(text) == actions


@pytest.mark.parametrize(
    "text",
    [
        "The person is not drinking.", "The person isn't drinking.", "Nobody drinks.", "The person never drinks.",
        "He is neither clapping nor drinking.", "He stands there without drinking.", "She cannot drink.",
        "Instead of drinking, she stands there.", "She stands rather than drinking.", "There is no drinking here.",
        "The person doesn’t drink.",
    ],
)  # fmt: skip
def test_what_is_denied_is_not_named(text):
    assert actions_in(text) == []
    assert said(text)[("action", "A1")] == "denied"
    assert ("action", "A1") not in said(text, SHAKING_HANDS), "a denial of what is not there says nothing"


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("He is not clapping but drinking.", [1]),
        ("No cup is there. He drinks.", [1]),
        ("She is not only drinking.", [1]),
        ("She doesn't stop drinking.", [1]),
        ("Without a hat, he drinks.", [1]),
        ("There is no doubt and she drinks.", [1]),
    ],
)
def test_a_denial_ends(text, actions):
    assert actions_in(text) == actions


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("A person holds a red cup and a light blue mug.", [("cup", "red"), ("cup", "light blue")]),
        ("There is no cup, but a ball.", [("ball", "")]),
        ("No cup or ball is there.", []),
        ("The cup is not there. The ball is not red.", [("ball", "")]),
        ("A phone is missing.", []),
        ("The cup is red.", [("cup", "red")]),
        ("A sheet of white paper", [("paper", "white")]),
        ("a brown cardboard box", [("box", "brown")]),
        ("a green desk with a keyboard", [("desk", "green"), ("desk", "")]),
        ("the toothbrush, the hair brush", [("toothbrush", ""), ("hairbrush", "")]),
        ("He wears glasses", [("glass", "")]),
        ("A dog plays with a banana", [("dog", ""), ("banana", "")]),
        ("red. Cup", [("cup", "")]),
    ],
)
def test_things_are_read_with_their_colours(text, things):
    assert things_in(text) == things


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("A person claps.", 1), ("Two people hug.", 2), ("2 young men talk.", 2), ("Three persons.", 3),
        ("A man and a woman hug.", 2), ("A man claps. The man sits down.", 1), ("They hug each other.", 2),
        ("One person pushes the other person.", 2), ("Both people clap.", 2), ("A couple of people", 2),
        ("A group of people dance.", 3), ("Nobody is there.", 0), ("No one is there.", 0), ("She claps.", 1),
        ("A ball lies about.", None), ("They exchange a high five before they clap.", None), ("Two cups.", None),
        ("One person claps. Somebody else walks past.", 1), ("One of them claps while another person sits.", 2),
    ],
)  # fmt: skip
def test_persons_are_counted(text, number):
    assert told_number(tokens_of(text)) == number


def test_passers_by_are_read():
    assert has_passers(tokens_of("Somebody else walks past.")) and has_passers(tokens_of("A man passes by."))
    assert not has_passers(tokens_of("Nobody walks past.")) and not has_passers(tokens_of("The ball rolls past."))
    assert said("A man walks past.")[("surroundings", "somebody who passes")] == "invented"


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("A person drinks and then claps.", True), ("She claps and then drinks.", False),
        ("After drinking, she claps.", True), ("After clapping, she drinks.", False),
        ("She claps after drinking.", True), ("She drinks after clapping.", False),
        ("Before clapping, she drinks.", True), ("She drinks before she claps.", True),
        ("Before she drinks, she claps.", False), ("She drinks. After that she claps.", True),
        ("She drinks. Afterwards she claps.", True), ("Finally she claps. At first she drinks.", True),
        ("First, she drinks. Finally, she claps.", True), ("She claps. First she drinks.", True),
        ("She drinks, claps and drinks again.", True),
    ],
)  # fmt: skip
def test_the_order_of_two_actions_is_read(text, is_right):
    assert said(text, DRINKING_THEN_CLAPPING)[("order", "order")] is is_right


def test_an_order_needs_both_actions():
    for text in ("She drinks.", "She drinks and then sits down.", "She drinks but does not clap."):
        assert ("order", "order") not in said(text, DRINKING_THEN_CLAPPING)
    assert ("order", "order") not in said("She drinks and claps.", DRINKING)
    tokens = tokens_of("She drinks and claps.")
    assert order_of(*mentions(tokens), tokens) == (1, 10)


@pytest.mark.parametrize(
    ("text", "statement", "verdict"),
    [
        ("The person drinks from a blue cup.", ("object", "cup"), True),
        ("The person drinks from a blue cup.", ("colour", "cup"), True),
        ("The person drinks from a navy mug.", ("colour", "cup"), False),
        ("The person holds a green ball.", ("object", "ball"), "not used"),
        ("The person holds a phone.", ("object", "phone"), "invented"),
        ("There is no cup.", ("object", "cup"), "denied"),
        ("A green ball lies on the floor.", ("surroundings", "ball"), True),
        ("A red ball lies on the floor.", ("colour", "ball"), False),
        ("A sofa stands there.", ("surroundings", "sofa"), "invented"),
        ("The walls are white.", ("room", "walls"), True),
        ("A room with light blue walls", ("room", "walls"), False),
        ("A room with a brown floor", ("room", "floor"), True),
        ("The room is bright.", ("room", "light"), True),
        ("It is a dark room.", ("room", "light"), False),
        ("The person wears a red T-shirt.", ("clothes", "shirt"), True),
        ("His pants are blue.", ("clothes", "trousers"), True),
        ("She has blond hair.", ("clothes", "hair"), False),
        ("He has a shirt with short sleeves.", ("clothes", "sleeves"), False),
        ("The person looks at the camera.", ("facing", "facing"), True),
        ("The person faces away from the camera.", ("facing", "facing"), False),
        ("The person is seen from behind.", ("facing", "facing"), False),
        ("The person faces to the left.", ("facing", "facing"), False),
        ("Three people clap.", ("count", "persons"), "invented"),
        ("A person claps.", ("action", "A10"), "invented"),
    ],
)
def test_statements_are_compared_with_the_facts(text, statement, verdict):
    assert said(text)[statement] == verdict


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The dark blue room", "room"), ("The walls are not white.", "room"), ("The left hand moves.", "facing"),
        ("She looks at the left hand.", "facing"), ("She does not face the camera.", "facing"),
        ("Her hand moves from side to side.", "facing"), ("A red cup.", "clothes"),
    ],
)  # fmt: skip
def test_other_sentences_are_no_statements_of_a_kind(text, kind):
    assert not [key for key in said(text) if key[0] == kind]


def test_a_desk_may_be_called_a_table_and_a_thing_in_an_idle_hand_is_at_hand():
    typing = replace(DRINKING, actions=(30,), things=(Thing("desk", "grey"),), held_thing=(Thing("hat", "red"), "left"))
    assert said("A person types at a table and holds a red hat.", typing)[("object", "desk")] is True
    assert said("The person holds a red hat.", typing)[("object", "hat")] is True


def test_two_persons_have_no_direction_and_either_of_their_clothes():
    assert ("facing", "facing") not in said("They face the camera.", SHAKING_HANDS)
    assert said("One wears a white shirt.", SHAKING_HANDS)[("clothes", "shirt")] is True


def test_a_part_of_an_action_is_neither_right_nor_wrong():
    toasting = replace(SHAKING_HANDS, actions=(113,), things=(Thing("cup", "red"), Thing("glass", "pale blue")))
    assert said("Two people drink.", toasting) == {("count", "persons"): True}


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00" * 50, "drink " * 50_000, "(" * 50_000, "a" * 100_000, "not " * 50_000, "ＤＲＩＮＫ", "🙂 drink",
     "drink--not", "put the " * 20_000, "<script>alert(1)</script>", "\ud800", "." * 100_000],
)  # fmt: skip
def test_hostile_captions_are_read_in_bounded_time(text):
    reading = read_caption(text, DRINKING)
    assert reading.named_items >= reading.invented_items >= 0
    json.dumps([statement._asdict() for statement in reading.statements])


# --- shares ------------------------------------------------------------------------------------------------------


def predictions(*captions, facts=DRINKING):
    return [{"video_name": f"{facts.clip}_rgb.avi", "pred": text} for text in captions]


def test_what_a_caption_does_not_speak_of_is_not_wrong():
    items = predictions("The walls are white.", "A person drinks.", "She claps.")
    graded = grade(items, {DRINKING.clip: DRINKING}, answer="pred")
    rows = summary(graded.records)
    assert (rows["action"]["right"], rows["action"]["wrong"], rows["action"]["not_named"]) == (1, 1, 2)
    assert rows["action"]["share"] == 0.5 and rows["action"]["told"] == pytest.approx(1 / 3)
    assert rows["room"]["share"] == 1 and rows["room"]["told"] == pytest.approx(1 / 6)
    assert rows["facing"]["share"] is None and rows["facing"]["interval"] is None and rows["facing"]["told"] == 0
    assert rows["invented"]["invented"] == 1 and rows["invented"]["named"] == 4 and rows["invented"]["captions"] == 1


def test_predictions_without_answers_or_facts_are_counted():
    facts = {DRINKING.clip: DRINKING}
    items = [*predictions("She drinks.", None), {"video_name": "other.mp4", "pred": "x"}]
    graded = grade(items, facts, answer="pred")
    assert (len(graded.records), graded.without_answer, graded.without_facts) == (1, 1, ("other",))
    with pytest.raises(ValueError, match="no caption can be graded: found 1 predictions, 1 without pred1, 0 without"):
        grade(predictions("x"), facts, answer="pred1")


@pytest.fixture
def runs(tmp_path):
    """Two graded runs over drawn clips: exact captions, and those of another clip."""
    records = drawn_records(48)[:12]
    (tmp_path / "facts.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    facts = drawn_facts(48)[:12]
    for name, shift in (("exact", 0), ("shuffled", 5)):
        texts = [caption(facts[(k + shift) % len(facts)], "dense", seed=0) for k in range(len(facts))]
        write_json(tmp_path / f"{name}.json", [{"video_name": f.clip, "pred": t} for f, t in zip(facts, texts)])
        command = ["--predictions", str(tmp_path / f"{name}.json"), "--facts", str(tmp_path)]
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    return tmp_path


@pytest.mark.slow
def test_the_command_grades_and_compares_runs(runs, capsys):
    exact, shuffled = (json.loads((runs / name / "facts.json").read_text()) for name in ("exact", "shuffled"))
    for kind, row in exact["kinds"].items():
        assert row["share"] in ({0.0} if kind == "invented" else {1.0, None}), kind
    assert shuffled["kinds"]["action"]["share"] < 0.2 and shuffled["kinds"]["invented"]["share"] > 0.2
    assert len((runs / "exact" / "captions.jsonl").read_text().splitlines()) == 12
    assert "| action | 100.0 |" in (runs / "exact" / "facts.md").read_text()
    assert main(["--compare", str(runs / "exact"), str(runs / "shuffled"), "--out", str(runs / "both")]) == 0
    assert "sign-flip" in capsys.readouterr().out
    kinds = json.loads((runs / "both" / "compare.json").read_text())["kinds"]
    assert kinds["action"]["right"]["difference"] < -80 and kinds["action"]["right"]["pairs"] == 12
    same = compare(runs / "exact", runs / "exact")["kinds"]
    assert all(row.get("difference", 0) == 0 for rows in same.values() for row in rows.values())


@pytest.mark.slow
def test_other_clips_facts_and_folders_are_not_compared(runs, tmp_path):
    with pytest.raises(ValueError, match="found no facts.json; expected the --out"):
        compare(runs / "exact", runs)
    number = runs / "shuffled" / "facts.json"
    number.write_text(number.read_text().replace('"facts_digest": "', '"facts_digest": "0'))
    with pytest.raises(ValueError, match="graded by different facts"):
        compare(runs / "exact", runs / "shuffled")
    lines = (runs / "exact" / "captions.jsonl").read_text().splitlines()
    (runs / "shuffled" / "captions.jsonl").write_text("\n".join(lines[1:]))
    number.write_text((runs / "exact" / "facts.json").read_text())
    with pytest.raises(ValueError, match="about other clips: 1 in one of them alone"):
        compare(runs / "exact", runs / "shuffled")


@pytest.mark.parametrize(
    "argv", [[], ["--facts", "x"], ["--facts", "x", "--foils"], ["--facts", "x", "--foils", "--predictions", "y"]]
)
def test_incomplete_commands_are_refused(argv, capsys):
    with pytest.raises(SystemExit):
        main(argv)
    assert "give --f" in capsys.readouterr().err or argv == ["--facts", "x"]


# --- foils -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_foils_differ_in_one_fact_and_only_the_first_is_true(tmp_path):
    clips = {facts.clip: facts for facts in (*drawn_facts(48), *drawn_facts(12, actions_per_clip=2))}
    write_json(tmp_path / "q.json", foils(list(clips.values()), seed=0))
    items = read_choices(tmp_path / "q.json")
    assert {item.kind for item in items} == {
        "action", "order", "count", "object", "colour", "invented", "room", "facing", "clothes"
    }  # fmt: skip
    for item in items:
        kinds = ("surroundings", "object") if item.kind == "invented" else (item.kind,)
        readings = [read_caption(option, clips[item.video]) for option in item.options]
        right = [[s.is_right for s in r.statements if s.kind in kinds] for r in readings]
        assert item.right == 0 and right[0] and all(right[0]), item
        # A second right answer would be a colour that is accepted too, such as blue for navy blue.
        wrong = [group for group in right[1:] if group and all(group)]
        assert not wrong or item.kind in ("room", "clothes", "colour"), item
        assert len(set(item.options)) == len(item.options) >= 2


@pytest.mark.slow
def test_foils_are_the_same_for_a_seed_and_share_their_words():
    clips = drawn_facts(20)
    assert foils(clips, seed=0) == foils(clips, seed=0) != foils(clips, seed=1)
    for question in foils(clips, seed=0):
        if question["kind"] in ("count", "room", "clothes", "object", "colour", "invented"):
            lengths = {len(option.split()) for option in question["options"]}
            assert max(lengths) - min(lengths) <= 2, question
