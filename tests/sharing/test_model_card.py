"""The model card: a header that the hub reads, facts of the run, nothing invented and no folder of this machine."""

import json
import re

import pytest
from huggingface_hub import ModelCard

from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.sharing.model_card import add_missing_card, write_model_card
from ski_lvlm.storage.files import write_json
from tests.cases.recognition_case import encoder_run, student_run, whole_run
from tests.cases.text_case import tiny_clip
from tests.cases.tiny_llm import tiny_llm

ZERO_SHOT = {"split": "ntu60/48-12", "data": "ntu60", "modality": "video", "clips": "test"}
UNSEEN = {"clips": 7, "classes": 4, "chance": 0.25, "top1": 0.5714}


@pytest.fixture
def run(tmp_path):
    folder = student_run(tmp_path / "runs" / "student", backbone=tiny_clip(tmp_path / "secret" / "clip"))
    paths = {"ntu": str(tmp_path / "secret" / "ntu"), "backbone": str(tmp_path / "secret" / "clip")}
    write_json(
        folder / "recipe.json", {"stage": "video_finetune", "learning_rate": 22e-6, "split": "synthetic", **paths}
    )
    write_json(folder / "result.json", {"train": {"epoch": 10.0}, "clips": 36})
    return folder


def card_of(folder, **settings):
    write_model_card(folder, **settings)
    return ModelCard.load(folder / "README.md", ignore_metadata_errors=False)


def section(card, title):
    return re.search(rf"## {title}\n(.*?)(?=\n## |\Z)", card.text, re.DOTALL).group(1)


def test_the_header_is_what_the_hub_reads(run):
    data = card_of(run).data
    assert data.library_name == "ski-lvlm" and data.pipeline_tag == "video-classification"
    assert data.datasets == ["synthetic"] and "ski-lvlm" in data.tags and data.license == "unknown"
    assert data.base_model is None and data.eval_results is None  # a local copy has no id, and nothing was tested


def test_the_recipe_and_the_training_are_those_of_the_run(run):
    card = card_of(run)
    assert "| learning_rate | 2.2e-05 |" in section(card, "Recipe") and "| ntu | ntu |" in section(card, "Recipe")
    trained = section(card, "What it was trained on")
    assert "| clips | 36 |" in trained and "| epochs | 10.0 |" in trained and "| split | synthetic |" in trained


def test_no_folder_of_this_machine_is_named(run, tmp_path):
    write_json(run / "zero_shot" / "zero_shot.json", {**ZERO_SHOT, "model": str(run), "unseen": UNSEEN})
    assert str(tmp_path) not in str(card_of(run)) and "clip (a local copy)" in section(card_of(run), "Parts")


def test_what_is_not_known_is_said_to_be_unknown(tmp_path):
    card = card_of(encoder_run(tmp_path / "encoder"))
    assert section(card, "Recipe").strip() == "Unknown."
    assert "None is known" in section(card, "Results") and "Not chosen yet" in section(card, "Licence")
    assert "No test of it is known to this card." in section(card, "Limits")


def test_the_licence_of_a_base_is_taken_from_its_own_card(run, tmp_path):
    (tmp_path / "secret" / "clip" / "README.md").write_text("---\nlicense: mit\n---\nA CLIP.\n")
    card = card_of(run)
    assert card.data.license == "mit" and "`mit`" in section(card, "Licence")
    assert card_of(run, licence="cc-by-nc-4.0").data.license == "cc-by-nc-4.0"


@pytest.mark.parametrize("text", ["", "no header", "---\n- [\n---\n", "---\nlicense:\n- mit\n- other\n---\n"])
def test_a_base_with_an_unreadable_card_has_no_known_licence(run, tmp_path, text):
    (tmp_path / "secret" / "clip" / "README.md").write_text(text)
    assert card_of(run).data.license == "unknown"


def test_results_within_and_beside_the_run_are_found(run):
    write_json(run / "zero_shot_5" / "zero_shot.json", {**ZERO_SHOT, "model": "gone", "unseen": UNSEEN})
    beside = {**ZERO_SHOT, "split": "synthetic", "model": str(run), "unseen": {**UNSEEN, "top1": 0.25}}
    general = {"harmonic_mean": 0.1, "calibrated": {"by": "stacking", "harmonic_mean": 0.3}}
    write_json(run.parent / "beside" / "zero_shot.json", {**beside, "generalised": general})
    write_json(run.parent / "foreign" / "zero_shot.json", {**beside, "model": str(run.parent), "split": "foreign"})
    card = card_of(run)
    results = section(card, "Results")
    assert "unseen classes of ntu60/48-12 by video, test clips | ntu60 | top-1 accuracy | 0.5714 | 7 clips" in results
    assert "| 0.3 | calibrated by stacking |" in results and "foreign" not in results
    assert {result.metric_value for result in card.data.eval_results} == {0.5714, 0.25, 0.3}
    assert "No test of it" not in str(card)


def test_a_closed_set_test_is_a_result_of_seen_classes(run):
    write_json(run / "closed" / "zero_shot.json", {**ZERO_SHOT, "model": str(run), "seen": UNSEEN})
    results = section(card_of(run), "Results")
    assert "closed set: seen classes of ntu60/48-12 by video, test clips | ntu60 | top-1 accuracy | 0.5714" in results


def test_results_of_other_places_can_be_added(run, tmp_path):
    scores = {"judge": "similarity", "note": "not comparable", "metrics": {"detail": {"mean": 61.2}, "context": {}}}
    write_json(tmp_path / "elsewhere" / "scores.json", scores)
    choice = {"items": 10, "chance": 0.25, "methods": {"letter": {"accuracy": 0.4}}}
    write_json(tmp_path / "elsewhere" / "choices" / "accuracy.json", choice)
    results = section(card_of(run, results=[tmp_path / "elsewhere"]), "Results")
    assert "| detail | 61.2 | judge similarity, not comparable |" in results and "context" not in results
    assert "multiple choice, by letter |  | accuracy | 0.4 | 10 questions, chance 25.0% |" in results


@pytest.mark.parametrize("content", ["{", "[]", '{"unseen": 3}', '{"methods": []}'])
def test_other_files_of_the_same_name_are_left_out_by_name(run, caplog, content):
    (run / "other").mkdir()
    for name in ("zero_shot.json", "accuracy.json", "scores.json"):
        (run / "other" / name).write_text(content)
    assert "None is known" in section(card_of(run), "Results")
    assert "is left out of the model card" in caplog.text


def test_the_test_of_the_training_itself_is_a_result(tmp_path):
    folder = encoder_run(tmp_path / "encoder")
    write_json(folder / "result.json", {"seen_test": {"clips": 4, "classes": 12, "chance": 0.0833, "top1": 0.75}})
    assert "| 0.75 | 4 clips, 12 classes, chance 8.3% |" in section(card_of(folder), "Results")


def test_frozen_parts_come_with_their_digests(tmp_path):
    whole_run(tmp_path / "run", tmp_path / "clip")
    stored = json.loads((tmp_path / "run" / "skeleton_clip" / "skeleton_encoder.json").read_text())
    digest = stored["text_encoder"]["digest"]
    assert f"| text encoder | clip (a local copy) | {digest} |" in section(
        card_of(tmp_path / "run" / "skeleton_clip"), "Parts"
    )


def test_a_ski_lvlm_names_its_language_model_and_the_makers_of_its_features(tmp_path, monkeypatch):
    manifest = {
        "video": {"tower": "openai/clip-vit-large-patch14", "digest": "1" * 16},
        "skeleton": {"encoder": "/home/me/aligned", "digest": "2" * 16},
    }
    llm = tiny_llm(tmp_path / "llm")
    model = SkiLvlm.build(base_llm=str(llm), token_widths={"video": 12}, manifest=manifest)
    model.save_pretrained(tmp_path / "run")
    card = card_of(tmp_path / "run")
    assert card.data.base_model == ["openai/clip-vit-large-patch14"] and card.data.pipeline_tag == "video-text-to-text"
    parts = section(card, "Parts")
    assert f"| language model | llm (a local copy) | {model.config.llm_digest} |" in parts
    assert f"| skeleton encoder | aligned (a local copy) | {'2' * 16} |" in parts and "/home" not in str(card)


def test_facts_cannot_break_the_card(run):
    write_json(run / "recipe.json", {"prompt": "a | b\n---\n<script> {name}", "names": "{{ 7 * 7 }}"})
    card = card_of(run)
    assert r"| prompt | a \| b --- &lt;script> {name} |" in str(card) and "{{ 7 * 7 }}" in str(card)


def test_a_run_that_ended_before_its_card_gets_one_and_one_by_hand_stays(run):
    add_missing_card(run)
    (run / "README.md").write_text("by hand")
    add_missing_card(run)
    assert (run / "README.md").read_text() == "by hand"


def test_a_folder_without_a_model_has_no_card(tmp_path):
    with pytest.raises(ValueError, match="found no trained model, expected the --output_dir"):
        write_model_card(tmp_path)
