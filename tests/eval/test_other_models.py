"""eval/describe.py with models of transformers and behind servers: frames, answers, resumption, refusals."""

import json
from pathlib import Path

import pytest
import torch
from einops import rearrange
from transformers import AutoModelForImageTextToText, AutoProcessor

import ski_lvlm
from eval.describe import main
from eval.describing.frame_inputs import FrameInputs
from eval.describing.server_model import INTRODUCTION
from ski_lvlm.datasets.reading import load_clip
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.storage.files import read_jsonl, write_json
from ski_lvlm.video_llm.frames import read_video_frames
from ski_lvlm.video_llm.model import SkiVideoLlm
from ski_lvlm.videos.timeline import Span
from tests.cases.data_set_case import write_data_set
from tests.cases.describe_case import answers, flags, item, predictions
from tests.cases.llm_server import Answer, chat_double
from tests.cases.video_case import numbered, quarters, write_video
from tests.cases.video_llm_case import FAMILIES, tiny_llava

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_fp32")]

VIDEOS = ["a", "b"]
ALL = {**FAMILIES, "llava": tiny_llava}
FRAMES, SIDE = 3, 40


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("others")
    for family, write in ALL.items():
        write(root / family)
    for name, frames in {"a": numbered(8), "b": quarters()}.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    (root / "videos" / "junk.mp4").write_bytes(b"no video")
    write_json(root / "questions.json", [item(video, Q2=None) for video in VIDEOS])
    return root


def others(case, out, model, **settings):
    return flags(case, out, **{"model": model, "num_frames": FRAMES, "frame_side": SIDE} | settings)


def by_transformers(folder, video, question, *, sees="video"):
    """Answer as a script of transformers' documentation does, from the same frames."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    frames = read_video_frames(video, num_frames=FRAMES, side=SIDE)
    content = [*[{"type": sees}] * (1 if sees == "video" else len(frames.pixels)), {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    if sees == "video":
        shown = {"videos": [frames.pixels], "video_metadata": [frames.metadata], "do_sample_frames": False}
    else:
        shown = {"images": [list(rearrange(frames.pixels, "t c h w -> t h w c").numpy())]}
    inputs = processor(text=[text], return_tensors="pt", **shown)
    inputs = {name: value for name, value in inputs.items() if torch.is_tensor(value)}
    ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    is_cut = processor.tokenizer.eos_token_id not in ids
    return processor.tokenizer.decode(ids, skip_special_tokens=True).strip(), is_cut


@pytest.mark.parametrize("family", ALL)
def test_its_answers_are_those_of_transformers_on_the_same_frames(case, tmp_path, family):
    assert main(others(case, tmp_path, f"hf:{case / family}")) == 0
    sees = "image" if family == "llava" else "video"
    records = read_jsonl(tmp_path / "predictions.jsonl")
    for record in records:
        video = case / "videos" / f"{record['video_name']}.mp4"
        expected = by_transformers(case / family, video, record["question"], sees=sees)
        assert (record["answer"], record.get("cut", False)) == expected
    assert len(records) == 4
    about = json.loads((tmp_path / "predictions.run.json").read_text())
    assert about["video"] == {"num_frames": FRAMES, "frame_side": SIDE}
    assert about["sees"] == ("pictures" if family == "llava" else "a video")
    assert about["model"]["source"] == f"hf:{case / family}"


def test_it_resumes_and_answers_anew_where_it_would_see_otherwise(case, tmp_path, monkeypatch):
    model = f"hf:{case / 'qwen'}"
    main(others(case, tmp_path, model))
    log = (tmp_path / "predictions.jsonl").read_bytes()
    main(others(case, tmp_path, model))
    assert (tmp_path / "predictions.jsonl").read_bytes() == log
    for setting in ({"num_frames": 2}, {"frame_side": 20}, {"temperature": 2.0}):
        before = len(read_jsonl(tmp_path / "predictions.jsonl"))
        main(others(case, tmp_path, model, **setting))
        assert len(read_jsonl(tmp_path / "predictions.jsonl")) == before + 4


def test_samples_depend_on_the_seed_alone(case, tmp_path):
    model, sampled = f"hf:{case / 'onevision'}", []
    for name, seed, limit in (("one", 1, 2), ("again", 1, 1), ("two", 2, 2)):
        main(others(case, tmp_path / name, model, temperature=2.0, seed=seed, limit=limit))
        sampled.append(answers(predictions(tmp_path / name)))
    assert sampled[0][:1] == sampled[1] and sampled[0] != sampled[2]


def test_what_cannot_be_shown_or_asked_has_no_answer_and_the_others_have(case, tmp_path):
    long, marked = "Why " * 3000, "Why <|im_end|>?"
    items = [item("junk", Q1=None, Q2=None), item("a", Q1=long, Q2=marked), item("b", Q1=None, Q2=None)]
    write_json(tmp_path / "q.json", items)
    assert main(others(case, tmp_path, f"hf:{case / 'qwen'}", questions=tmp_path / "q.json")) == 0
    junk, a, b = predictions(tmp_path)
    assert junk["pred"] is None and a["pred"] is not None and b["pred"] is not None
    assert a["pred1"] is None and a["pred2"] is None
    assert "the model reads 512" in a["error"] and "a mark of the model's own" in a["error"]


def test_stretches_of_videos_are_shown_alone(case, tmp_path):
    rows = [("early", 0, 4), ("late", 4, 8)]
    table = [{"clip": clip, "video": "a.mp4", "start_frame": a, "end_frame": b, "class": "wave"} for clip, a, b in rows]
    data = write_data_set(tmp_path / "home", rows=table)
    (data / "a.mp4").symlink_to(case / "videos" / "a.mp4")
    clips = FrameInputs(None, data=str(data), num_frames=FRAMES, side=SIDE)
    for clip, start, end in rows:
        span = Span(start, end, "frames")
        expected = read_video_frames(case / "videos" / "a.mp4", num_frames=FRAMES, side=SIDE, span=span)
        assert clips.read(clip).pixels.equal(expected.pixels)
    assert clips.content(load_clip("none", clips.read)) == (
        None,
        "no video of clip 'none' among the 2 of the data set",
    )


def test_a_trained_video_llm_is_described_with_the_frames_of_its_training(case, tmp_path):
    base = str(case / "qwen")
    settings = {"skeleton_width": 8, "projector": ProjectorSettings("linear"), "num_frames": FRAMES}
    SkiVideoLlm.build(base_vlm=base, **settings, frame_side=SIDE).save_pretrained(tmp_path / "trained")
    assert main(flags(case, tmp_path / "trained_out", model=tmp_path / "trained")) == 0
    assert main(others(case, tmp_path / "base_out", f"hf:{base}")) == 0
    assert answers(predictions(tmp_path / "trained_out")) == answers(predictions(tmp_path / "base_out"))
    loaded = ski_lvlm.from_pretrained(tmp_path / "trained")
    record = read_jsonl(tmp_path / "trained_out" / "predictions.jsonl")[0]
    video = loaded.read(case / "videos" / f"{record['video_name']}.mp4")
    (answer,) = loaded.answer([video], [record["question"]], max_new_tokens=6)
    assert answer == (record["answer"], record.get("cut", False))
    with pytest.raises(ValueError, match="--features: .* was trained with --base_vlm"):
        main(flags(case, tmp_path / "other", model=tmp_path / "trained", features=tmp_path / "features"))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("hf:x", {"features": "f"}, "--features: only for a SKI-LVLM, since hf:x looks at videos in its own way"),
        ("hf:x", {"engine": "vllm"}, "--engine vllm: only for a SKI-LVLM"),
        ("hf:x", {"base_url": "http://x"}, "--base_url: only for --model openai:MODEL"),
        ("folder", {"frame_side": 3, "num_frames": 3}, "--frame_side: only for --model hf:ID"),
        ("openai:x", {"top_p": 0.5}, "--top_p 0.5: the server's own is used"),
    ],
)
def test_flags_of_other_kinds_of_models_are_refused(case, tmp_path, capsys, model, settings, message):
    with pytest.raises(SystemExit):
        main(flags(case, tmp_path, model=model, **settings))
    assert message in capsys.readouterr().err


def test_a_model_of_another_kind_or_nowhere_is_refused(case, tmp_path):
    with pytest.raises(ValueError, match="--model hf: .*none|no video LLM could be loaded from .*none"):
        main(others(case, tmp_path, f"hf:{tmp_path / 'none'}"))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    with chat_double(models=("glm",)) as double:
        yield double


def served(case, out, server, **settings):
    return others(case, out, "openai:glm", **{"base_url": f"{server.url}/v1"} | settings)


def question_of(request):
    return request["messages"][-1]["content"][0]["text"]


def test_a_server_gets_the_frames_as_pictures_and_its_answers_belong_to_their_questions(case, tmp_path, server):
    server.plan = lambda request: Answer(f"<think>hm</think>{question_of(request)[-9:]}", cut="Why" in str(request))
    assert main(served(case, tmp_path, server)) == 0
    for entry in predictions(tmp_path):
        assert (entry["pred"], entry["pred1"]) == (entry["Q"][-9:], entry["Q1"][-9:])
    asked = [request for request in server.requests if "Say yes" not in str(request)]
    assert len(asked) == 4
    text, *pictures = asked[0]["messages"][-1]["content"]
    assert text["text"].startswith(INTRODUCTION.format(count=FRAMES)) and len(pictures) == FRAMES
    assert all(picture["image_url"]["url"].startswith("data:image/png;base64,") for picture in pictures)
    about = json.loads((tmp_path / "predictions.run.json").read_text())
    assert about["model"]["source"] == "openai:glm" and about["sees"] == "pictures"
    main(served(case, tmp_path, server))
    assert len([request for request in server.requests if "Say yes" not in str(request)]) == 4


def test_what_a_server_fails_to_answer_is_asked_again_by_the_next_run(case, tmp_path, server, monkeypatch):
    monkeypatch.setattr("ski_lvlm.servers.client.tenacity.wait_random_exponential", lambda **_: lambda state: 0.0)
    server.plan = lambda request: Answer(status=400) if "Which" in str(request) else Answer("He waves.")
    main(served(case, tmp_path, server))
    first = predictions(tmp_path)
    assert all(entry["pred"] == "He waves." and entry["pred1"] is None and entry["error"] for entry in first)
    server.plan = lambda request: Answer("He waves.")
    main(served(case, tmp_path, server))
    assert all(entry["pred1"] == "He waves." and "error" not in entry for entry in predictions(tmp_path))


def test_a_server_that_is_not_there_or_fails_for_good_stops_the_run(case, tmp_path, server, monkeypatch):
    monkeypatch.setattr("eval.describing.server_model.HOPELESS", 2)
    server.plan = lambda request: Answer("yes") if "Say yes" in str(request) else Answer(status=400)
    with pytest.raises(ValueError, match="2 times in a row, so the run stops"):
        main(served(case, tmp_path, server, batch_size=1))
    server.stop()
    with pytest.raises(ValueError, match="cannot be reached"):
        main(served(case, tmp_path / "other", server))


def test_neither_key_nor_password_of_an_address_is_written(case, tmp_path, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    address = f"{server.url}/v1".replace("http://", "http://user:hidden@")
    main(served(case, tmp_path, server, base_url=address, limit=1))
    texts = [file.read_text() for file in Path(tmp_path).glob("predictions*")]
    assert texts and not any("sk-secret" in text for text in texts)
    about = json.loads((tmp_path / "predictions.run.json").read_text())
    assert "hidden" not in json.dumps(about["model"])
