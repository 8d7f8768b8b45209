import json

import pytest

from eval.accuracy import caption_accuracy, main, most_frequent, percent
from ski_lvlm.datasets.instruction_file import instruction_record
from ski_lvlm.storage.files import write_json
from tests.cases.curation_case import NTU
from tests.cases.data_set_case import ROWS, write_data_set

SIT, STAND, CLAP, WAVE, DRINK = 8, 9, 10, 23, 1
SAYS = {
    SIT: "A person is sitting down.",
    STAND: "A person is standing up.",
    CLAP: "Somebody is clapping near a table.",
    DRINK: "A person is drinking water.",
}


def clip(action, performer=9):
    return f"S001C001P{performer:03d}R001A{action:03d}"


def row(captions):
    return caption_accuracy(captions, data=NTU, condition="test")


def test_a_caption_is_right_if_it_names_its_clip_s_action():
    counted = row({clip(SIT): SAYS[SIT], clip(CLAP): SAYS[DRINK], clip(DRINK): "A person in a room."})
    assert counted["clips"] == 3 and counted["share"] == 33.3
    assert counted["per_action"] == {"A1": 0.0, "A8": 100.0, "A10": 0.0}


def test_a_clip_without_a_caption_counts_and_names_nothing():
    assert row({clip(SIT): None, clip(SIT, 10): "", clip(SIT, 11): SAYS[SIT]})["share"] == 33.3


def test_the_mean_over_actions_weighs_rare_ones_like_frequent_ones():
    captions = {clip(SIT, performer): SAYS[SIT] for performer in (1, 2, 3)} | {clip(CLAP): SAYS[SIT]}
    counted = row(captions)
    assert (counted["share"], counted["macro"]) == (75.0, 50.0)


def test_same_object_pairs_are_those_of_which_both_actions_occur():
    captions = {clip(SIT): SAYS[SIT], clip(STAND): SAYS[SIT], clip(CLAP): SAYS[CLAP], clip(DRINK): SAYS[DRINK]}
    counted = row(captions)
    assert (counted["same_object_clips"], counted["same_object_share"]) == (2, 50.0)
    with_partner = row(captions | {clip(WAVE): SAYS[CLAP]})
    assert (with_partner["same_object_clips"], with_partner["same_object_share"]) == (4, 50.0)


def test_without_any_pair_its_share_is_unknown_and_not_zero():
    assert row({clip(DRINK): SAYS[DRINK]})["same_object_share"] is None
    assert percent([]) is None


def test_always_naming_the_most_frequent_action_of_training_is_right_on_its_clips_alone(tmp_path):
    trained = [clip(CLAP, 1), clip(SIT, 1), clip(SIT, 2)]
    records = [instruction_record(name, clip=name, question="What?", answer="So.") for name in trained]
    write_json(tmp_path / "i.json", records)
    guessed = most_frequent(tmp_path / "i.json", [clip(SIT), clip(STAND), clip(CLAP), clip(DRINK)], data=NTU)
    assert guessed["condition"] == "always A8, most frequent in training"
    assert guessed["share"] == 25.0 and guessed["per_action"]["A8"] == 100.0


def test_the_command_writes_and_prints_model_and_guess(tmp_path, capsys):
    said = {clip(SIT): SAYS[SIT], clip(STAND): SAYS[STAND], clip(CLAP): None}
    predictions = [{"video_name": f"{name}_rgb.avi", "Q": "What?", "pred": text} for name, text in said.items()]
    write_json(tmp_path / "p.json", predictions)
    write_json(
        tmp_path / "i.json", [instruction_record("0", clip=clip(STAND, 1), question="What?", answer=SAYS[STAND])]
    )
    flags = ["--predictions", str(tmp_path / "p.json"), "--out", str(tmp_path / "out.json")]
    assert main([*flags, "--instructions", str(tmp_path / "i.json")]) == 0
    model, guess = json.loads((tmp_path / "out.json").read_text())
    assert (model["share"], guess["share"]) == (66.7, 33.3)
    assert "66.7 % of 3 captions name the action" in capsys.readouterr().out
    assert main(flags) == 0
    assert json.loads((tmp_path / "out.json").read_text()) == [model]


def test_captions_of_a_data_set_of_ones_own_name_its_classes(tmp_path):
    folder = write_data_set(tmp_path / "home")
    texts = ("Then somebody pours tea", "I see sweep, no wave.", "They WAVE")
    predictions = [{"video_name": f"{row['clip']}.mp4", "pred": text} for row, text in zip(ROWS, texts)]
    other_tea = next(row["clip"] for row in ROWS[1:] if row["class"] == "pour tea")
    write_json(tmp_path / "p.json", [*predictions, {"video_name": other_tea, "pred": "tea"}])
    flags = ["--predictions", str(tmp_path / "p.json"), "--out", str(tmp_path / "out.json"), "--data", str(folder)]
    assert main(flags) == 0
    (row,) = json.loads((tmp_path / "out.json").read_text())
    assert row["per_action"] == {"1": 50.0, "2": 100.0, "W3": 100.0} and row["same_object_share"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [{"video_name": "kitchen", "pred": "x"}],
            "1 clips are not of ntu120, such as 'kitchen'; give their data set with --data",
        ),
        ([{"pred": "x"}], "no video_name"),
        (["x"], "expected an object"),
        ([], "no record"),
        ([{"video_name": "S001C001P001R001A001", "pred": 3}], "pred is 3; expected a text"),
    ],
)
def test_predictions_that_cannot_be_counted_are_named(tmp_path, content, message):
    write_json(tmp_path / "p.json", content)
    with pytest.raises(ValueError, match=message):
        main(["--predictions", str(tmp_path / "p.json"), "--out", str(tmp_path / "out.json")])
    assert not (tmp_path / "out.json").exists()
