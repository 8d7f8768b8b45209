"""eval/choose.py with models of transformers and behind servers: likelihoods, letters, floor, what each cannot tell."""

import json
import math

import pytest
import torch

from eval.choose import main
from eval.choosing.server_choice import letters
from eval.describing.server_model import INTRODUCTION
from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.servers.client import Reply
from ski_lvlm.storage.files import read_jsonl, write_json
from ski_lvlm.video_llm.answering import placed
from ski_lvlm.video_llm.frames import read_video_frames
from ski_lvlm.video_llm.likelihood import _likelihood, answer_likelihoods
from ski_lvlm.video_llm.loading import knows_videos, load_video_llm
from ski_lvlm.video_llm.picture_prompting import PicturePrompting
from ski_lvlm.video_llm.prompting import VideoPrompting
from ski_lvlm.video_llm.text_prompting import NO_VIDEO, TextPrompting
from tests.cases.choice_case import llavidal_record
from tests.cases.llm_server import Answer, chat_double
from tests.cases.video_case import numbered, quarters, write_video
from tests.cases.video_llm_case import FAMILIES, tiny_llava

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_fp32", "quick")]

ALL = {**FAMILIES, "llava": tiny_llava}
QUESTION, OPTIONS = "What does he do?", ["sit down", "walk"]
LIKELIHOODS = ["likelihood", "whole_likelihood", "letter_likelihood"]


@pytest.fixture
def quick(monkeypatch):
    """Draw few intervals and no figures."""
    monkeypatch.setattr("ski_lvlm.recognition.intervals.DRAWS", 100)
    monkeypatch.setattr("eval.pages.choice_report.position_bars", lambda positions: "data:image/png;base64,")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("choosers")
    for family, write in ALL.items():
        write(root / family)
    for name, frames in {"clip_0": numbered(8), "clip_1": quarters()}.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    write_json(root / "q.json", [llavidal_record(0), llavidal_record(1), llavidal_record(6, video="clip_1")])
    return root


@pytest.fixture(scope="module")
def loaded(case):
    """Each family, with the way it is asked about videos, and frames."""
    frames = read_video_frames(case / "videos" / "clip_0.mp4", num_frames=3, side=40)
    bases = {family: load_video_llm(str(case / family), needs_video=False) for family in ALL}
    promptings = {
        family: VideoPrompting(base) if knows_videos(base.processor) else PicturePrompting(base)
        for family, base in bases.items()
    }
    return {family: (base.model, promptings[family], frames) for family, base in bases.items()}


def choose(case, out, model, **settings):
    values = {"model": model, "videos": case / "videos", "questions": case / "q.json", "out": out, "workers": 0}
    values |= {"num_frames": 3, "frame_side": 40, "max_new_tokens": 6} | settings
    parts = [(f"--{name}", value) for name, value in values.items() if value is not None]
    words = [str(word) for name, value in parts for word in ([name] if value is True else [name, value])]
    return main(words), json.loads(
        (out / ("text_only" if "text_only" in settings else "") / "accuracy.json").read_text()
    )


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("is_shown", [True, False])
def test_an_answers_likelihood_is_that_of_generating_it(loaded, family, is_shown):
    model, prompting, frames = loaded[family]
    prompting, frames = (prompting, frames) if is_shown else (TextPrompting(prompting), NO_VIDEO)
    inputs = placed(prompting.inputs(QUESTION, frames), model)
    settings = {"max_new_tokens": 5, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    result = model.generate(**inputs, **settings, eos_token_id=None, pad_token_id=0)
    ids = result.sequences[0, inputs["input_ids"].shape[1] :]
    steps = torch.cat(result.logits).float().log_softmax(-1)
    likelihood = _likelihood(model, inputs, ids)
    assert (
        likelihood.total == pytest.approx(float(steps[range(len(ids)), ids].sum()), rel=1e-3) and likelihood.is_greedy
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_an_options_likelihood_is_the_loss_of_training_on_it(loaded, family):
    model, prompting, frames = loaded[family]
    for option, likelihood in zip(OPTIONS, answer_likelihoods(model, prompting, frames, QUESTION, OPTIONS)):
        (ids, labels), inputs = prompting.sample([Turn("user", QUESTION), Turn("assistant", option)], frames, 0)
        logits = model(input_ids=ids[None], **placed(inputs, model)).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=IGNORED, reduction="sum")
        assert likelihood.total == pytest.approx(-float(loss), rel=1e-3)
        assert likelihood.tokens == int((labels != IGNORED).sum())


@pytest.mark.parametrize("family", ALL)
def test_a_model_of_transformers_chooses_in_all_four_ways_and_has_a_floor(case, tmp_path, family):
    code, result = choose(case, tmp_path, f"hf:{case / family}")
    assert code == 0 and list(result["methods"]) == [*LIKELIHOODS, "letter"] and result["not_measured"] == {}
    assert result["model"]["source"] == f"hf:{case / family}" and result["video"]["num_frames"] == 3
    log = (tmp_path / "choices.jsonl").read_bytes()
    assert choose(case, tmp_path, f"hf:{case / family}")[1]["methods"] == result["methods"]
    assert (tmp_path / "choices.jsonl").read_bytes() == log, "nothing is asked twice"
    code, _ = choose(case, tmp_path, f"hf:{case / family}", text_only=True, videos=None)
    answers = [r["options"] for r in read_jsonl(tmp_path / "text_only" / "choices.jsonl")]
    assert code == 0 and len(answers) == 3
    assert "text alone, %" in (tmp_path / "report.html").read_text()


def test_a_question_that_cannot_be_asked_has_a_reason(case, tmp_path):
    items = [llavidal_record(0), llavidal_record(0) | {"question": "Why " * 3000}]
    write_json(tmp_path / "q.json", [*items, llavidal_record(0) | {"question": "Why <|im_end|>?"}])
    code, result = choose(case, tmp_path / "out", f"hf:{case / 'qwen'}", questions=tmp_path / "q.json")
    errors = [entry["answers"][0]["error"] for entry in json.loads((tmp_path / "out" / "choices.json").read_text())]
    assert code == 0 and errors[0] is None
    assert "the model reads 512" in errors[1] and "a mark of the model's own" in errors[2]


def first_tokens(request):
    """Probabilities by which C is the likeliest letter, with and without white space."""
    return Answer("The answer is (B).", first_token={"B": 0.25, "C": 0.125, " C": 0.25, "The": 0.375})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    with chat_double(models=("glm",), plan=first_tokens) as double:
        yield double


def served(case, out, server, **settings):
    return choose(case, out, "openai:glm", **{"base_url": f"{server.url}/v1"} | settings)


def test_a_server_chooses_by_letters_and_by_what_it_writes(case, tmp_path, server, capsys):
    code, result = served(case, tmp_path, server)
    assert code == 0 and list(result["methods"]) == ["letter_likelihood", "letter"]
    for entry in json.loads((tmp_path / "choices.json").read_text()):
        (answer,) = entry["answers"]
        assert answer["choices"] == {"letter_likelihood": answer["order"][2], "letter": answer["order"][1]}
        assert answer["letters"] == [None, [math.log(0.25), 1], [pytest.approx(math.log(0.375)), 1], None]
    printed, page = capsys.readouterr().out, (tmp_path / "report.html").read_text()
    assert "not measured, OpenAI's protocol" in printed and "not measured: OpenAI&#39;s protocol" in page
    requests = [request for request in server.requests if "Say yes" not in str(request)]
    text, *pictures = requests[0]["messages"][-1]["content"]
    assert len(requests) == 3 and len(pictures) == 3 and text["text"].startswith(INTRODUCTION.format(count=3))
    server.stop()
    assert served(case, tmp_path, server)[1]["methods"] == result["methods"], "a finished run needs no server"


def test_without_the_video_a_server_gets_the_question_alone(case, tmp_path, server):
    code, result = served(case, tmp_path, server, text_only=True, videos=None)
    assert code == 0 and result["text_only"]
    assert all(isinstance(request["messages"][-1]["content"], str) for request in server.requests)
    assert "These pictures" not in str(server.requests)


@pytest.mark.parametrize("plain", [Answer("A"), Answer(status=400, body=b'{"error": {"message": "no logprobs"}}')])
def test_a_server_without_probabilities_chooses_by_what_it_writes(case, tmp_path, server, plain):
    server.plan = lambda request: plain if request.get("logprobs") else Answer("A")
    code, result = served(case, tmp_path, server)
    assert code == 0 and list(result["methods"]) == ["letter"]
    assert "a server without logprobs" in result["not_measured"]["letter_likelihood"]
    choose(case, tmp_path / "other", f"hf:{case / 'llava'}")
    assert main(["--compare", str(tmp_path), str(tmp_path / "other"), "--out", str(tmp_path)]) == 0
    assert list(json.loads((tmp_path / "compare.json").read_text())["methods"]) == ["letter"]


def test_a_server_that_fails_for_good_stops_the_run_and_keeps_what_it_has(case, tmp_path, server, monkeypatch):
    monkeypatch.setattr("eval.describing.server_model.HOPELESS", 2)
    server.plan = lambda request: (
        first_tokens(request) if "Say yes" in str(request) or "person 0" in str(request) else Answer(status=400)
    )
    with pytest.raises(ValueError, match="2 times in a row, so the run stops"):
        served(case, tmp_path, server, batch_size=1)
    assert [record["answer"] is not None for record in read_jsonl(tmp_path / "choices.jsonl")] == [True, False]
    server.plan = first_tokens
    assert served(case, tmp_path, server)[1]["methods"]["letter"]["answered"] == 3


def test_letters_that_a_server_does_not_tell_are_none():
    assert letters(Reply("x", 0, 0, 0.0, first_token=(("The", 1.0),)), 3) is None
    assert letters(Reply("x", 0, 0, 0.0), 3) is None


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("hf:x", {"features": "f"}, "--features: only for a SKI-LVLM"),
        ("hf:x", {"base_url": "http://x"}, "--base_url: only for --model openai:MODEL"),
        ("folder", {"num_frames": None}, "--frame_side: only for --model hf:ID"),
    ],
)
def test_flags_of_other_kinds_of_models_are_refused(case, tmp_path, capsys, model, settings, message):
    with pytest.raises(SystemExit):
        choose(case, tmp_path, model, **settings)
    assert message in capsys.readouterr().err
