"""eval/describe.py with a model that was trained with --base_vlm."""

import json
from pathlib import Path

import pytest
import torch

import ski_lvlm
from eval.describe import main
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.storage.files import write_json
from ski_lvlm.video_llm.model import SkiVideoLlm
from tests.cases.describe_case import answers, item, predictions
from tests.cases.lvlm_case import CLIPS
from tests.cases.video_llm_case import write_video_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("describe_video_llm")
    settings = write_video_case(folder)
    torch.manual_seed(0)
    sizes = {"num_frames": 4, "frame_side": 40, "skeleton_width": 8, "projector": ProjectorSettings()}
    SkiVideoLlm.build(base_vlm=settings["base_vlm"], **sizes).save_pretrained(folder / "model")
    write_json(folder / "questions.json", [item(clip) for clip in (*CLIPS[:2], "absent")])
    return folder


def flags(case, out, **settings):
    values = {"model": case / "model", "videos": case / "videos", "questions": case / "questions.json"}
    values |= {"out": out / "predictions.json", "workers": 0, "max_new_tokens": 6} | settings
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def test_answers_are_those_of_generate_and_a_second_start_asks_nothing(case, tmp_path):
    assert main(flags(case, tmp_path)) == 0
    first, _, absent = predictions(tmp_path)
    model = ski_lvlm.from_pretrained(case / "model")
    video = Path(case / "videos" / f"{CLIPS[0]}_rgb.avi")
    assert first["pred"] == model.generate(video, first["Q"], max_new_tokens=6)
    assert absent["pred"] is None and "no video of clip 'absent'" in absent["error"]
    about = json.loads((tmp_path / "predictions.run.json").read_text())
    assert about["video_llm"]["digest"] == model.model.config.llm_digest
    log = (tmp_path / "predictions.jsonl").read_text()
    main(flags(case, tmp_path))
    assert (tmp_path / "predictions.jsonl").read_text().startswith(log)
    assert len(answers(predictions(tmp_path))) == 3


def test_a_question_that_cannot_be_asked_gets_its_reason(case, tmp_path):
    write_json(tmp_path / "odd.json", [item(CLIPS[0], Q="Why?<|im_end|>")])
    main(flags(case, tmp_path, questions=tmp_path / "odd.json"))
    (odd,) = predictions(tmp_path)
    assert "a mark of the model's own" in odd["error"]


def test_a_feature_folder_is_for_other_models(case, tmp_path):
    with pytest.raises(ValueError, match="--features: .* was trained with --base_vlm"):
        main(flags(case, tmp_path, features=tmp_path))
