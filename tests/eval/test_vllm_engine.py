"""eval/describe.py --engine vllm: its process with a stand-in for vLLM, and the real one where it is installed."""

import json
import os
import subprocess
import sys

import pytest

from eval.describe import main
from eval.describing.vllm_engine import longest_prompt, sampling_settings
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.lvlm.inference import open_for_inference
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.plain_llm import plain_llm
from ski_lvlm.storage.files import read_jsonl, write_json
from tests.cases.command_case import ENVIRONMENT, ROOT, descendants, is_running, run, started, until
from tests.cases.describe_case import ASKED, VIDEOS, answers, flags, item, predictions, write_describe_case
from tests.cases.tiny_llm import tiny_llm
from tests.cases.trained_case import build_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_fp32")]

DOUBLE = ROOT / "tests" / "cases" / "vllm_double"
REAL = os.environ.get("SKI_VLLM_PYTHON")
ALL = len(VIDEOS) * len(ASKED)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = write_describe_case(tmp_path_factory.mktemp("vllm"))
    settings = json.loads((root / "llm" / "generation_config.json").read_text())
    ends = [settings["eos_token_id"], *range(100, 150)]  # so many that some answers end before the limit
    write_json(root / "llm" / "generation_config.json", settings | {"eos_token_id": ends})
    return root


@pytest.fixture(scope="module")
def by_transformers(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("hf")
    assert main(flags(case, out)) == 0
    return out


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """Put the stand-in where the process looks for vLLM."""
    monkeypatch.setenv("PYTHONPATH", f"{DOUBLE}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def vllm_flags(case, out, **settings):
    return flags(case, out, **{"engine": "vllm", "vllm_python": sys.executable} | settings)


def logged(out):
    return {(r["video_name"], r["question"]): r for r in read_jsonl(out / "predictions.jsonl")}


def test_its_answers_and_cut_marks_are_those_of_transformers_and_belong_to_their_questions(
    case, by_transformers, tmp_path, monkeypatch
):
    monkeypatch.setenv("VLLM_DOUBLE", "model")
    assert main(vllm_flags(case, tmp_path)) == 0
    assert predictions(tmp_path) == predictions(by_transformers)
    cut = [{key: record.get("cut") for key, record in logged(out).items()} for out in (tmp_path, by_transformers)]
    assert cut[0] == cut[1] and set(cut[0].values()) == {True, None}
    order = [(r["video_name"], r["question"]) for r in read_jsonl(tmp_path / "predictions.jsonl")]
    assert order != list(logged(by_transformers)), "the stand-in answers out of order"
    about = json.loads((tmp_path / "predictions.run.json").read_text())
    assert about["engine"] == {"name": "vllm", "version": "double"}


def test_a_second_run_asks_nothing_and_answers_of_the_other_engine_are_not_taken(case, tmp_path):
    main(vllm_flags(case, tmp_path))
    before = (tmp_path / "predictions.jsonl").read_bytes()
    main(vllm_flags(case, tmp_path))
    assert (tmp_path / "predictions.jsonl").read_bytes() == before
    main(flags(case, tmp_path))
    assert len(read_jsonl(tmp_path / "predictions.jsonl")) == 2 * ALL


def test_samples_depend_on_the_seed_and_on_nothing_before_them(case, tmp_path):
    sampled = {}
    for name, settings in {"one": {}, "again": {"batch_size": 1}, "other": {"seed": 2}}.items():
        main(vllm_flags(case, tmp_path / name, **{"temperature": 2.0, "top_p": 0.9, "seed": 1} | settings))
        sampled[name] = answers(predictions(tmp_path / name))
    assert sampled["one"] == sampled["again"] != sampled["other"]


def test_a_prompt_that_does_not_fit_or_that_vllm_refuses_has_no_answer_and_others_have(case, tmp_path, monkeypatch):
    model = open_for_inference(case / "model")
    length = len(model.prompt_ids(6 + 4, ASKED["Q1"]))
    monkeypatch.setenv("VLLM_DOUBLE", f"refuses {length}")
    questions = [item("a", Q="Why " * 3000, Q1=None, Q2=None), item("c", Q2=None)]
    write_json(tmp_path / "q.json", questions)
    main(vllm_flags(case, tmp_path, questions=tmp_path / "q.json"))
    long, other = predictions(tmp_path)
    assert "reads 2048 (max_position_embeddings)" in long["error"]
    assert other["pred"] and other["pred1"] is None
    assert other["error"] == f"vLLM has no answer: prompt of {length} tokens refused"


def test_a_process_that_dies_is_reported_and_the_same_command_asks_for_the_rest(case, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_DOUBLE", "dies 5")
    with pytest.raises(ValueError, match=r"with vLLM ended with code 3; .*out of memory; the answers so far are saved"):
        main(vllm_flags(case, tmp_path, batch_size=1))
    assert len(read_jsonl(tmp_path / "predictions.jsonl")) == 5 and not (tmp_path / "predictions.json").exists()
    monkeypatch.delenv("VLLM_DOUBLE")
    main(vllm_flags(case, tmp_path))
    assert len(read_jsonl(tmp_path / "predictions.jsonl")) == ALL == len(logged(tmp_path))


def test_a_process_that_hangs_is_killed(case, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_DOUBLE", "hangs 0")
    monkeypatch.setattr("eval.describing.ski_lvlm_model.ANSWER_SECONDS", 0.3)
    with pytest.raises(ValueError, match=r"gave no answer in 0.3 s and was killed"):
        main(vllm_flags(case, tmp_path))


def test_an_environment_without_vllm_is_named_with_the_remedy(case, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"found no .*python, expected a Python with vLLM; .*vllm_environment.sh"):
        main(vllm_flags(case, tmp_path, vllm_python=tmp_path / "python", model=tmp_path / "none"))
    monkeypatch.setenv("VLLM_DOUBLE", "absent")
    with pytest.raises(ValueError, match=r"vLLM cannot start: no vLLM for this machine; make its environment anew"):
        main(vllm_flags(case, tmp_path))
    (tmp_path / "file").write_text("no program")
    with pytest.raises(ValueError, match=r"--vllm_python .*file: cannot be started \(Permission denied\)"):
        main(vllm_flags(case, tmp_path, vllm_python=tmp_path / "file"))


def test_a_python_for_the_other_engine_is_refused(case, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(flags(case, tmp_path, vllm_python=sys.executable))
    assert "--vllm_python: only for --engine vllm" in capsys.readouterr().err


def test_killed_it_takes_vllm_along_and_resumes(case, tmp_path):
    command = [sys.executable, str(ROOT / "eval" / "describe.py"), *vllm_flags(case, tmp_path, batch_size=1)]
    environment = ENVIRONMENT | {"PYTHONPATH": f"{DOUBLE}:{ROOT}"}
    with started(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: (tmp_path / "predictions.jsonl").exists() or process.poll() is not None)
        workers = descendants(process.pid)
        assert workers, "it ended too early"
        process.kill()
        until(lambda: not any(map(is_running, workers)))
    log = (tmp_path / "predictions.jsonl").read_bytes()
    main(vllm_flags(case, tmp_path))
    assert (tmp_path / "predictions.jsonl").read_bytes().startswith(log[: log.rfind(b"\n") + 1])
    assert len(logged(tmp_path)) == ALL


def test_the_process_imports_nothing_that_vllms_environment_lacks():
    listed = "import sys; sys.path.insert(0, sys.argv[1]); import eval.describing.vllm_worker; print(*sys.modules)"
    done = run([sys.executable, "-c", listed, str(ROOT)])
    assert done.returncode == 0, done.stderr
    ours = {name for name in done.stdout.split() if name.startswith(("eval", "ski_lvlm", "data_curation"))}
    rooms = {"eval", "eval.describing", "ski_lvlm", "ski_lvlm.auto", "ski_lvlm.auto.import_hook", "ski_lvlm.parallel"}
    assert ours == rooms | {"eval.describing.vllm_worker", "ski_lvlm.parallel.line_protocol"}
    assert not {"torch", "transformers", "jaxtyping", "numpy"} & set(done.stdout.split())


def test_settings_of_the_language_model_that_vllm_cannot_follow_are_refused(case):
    model = open_for_inference(case / "model")
    model.llm.generation_config.repetition_penalty = 1.1
    settings = sampling_settings(model, {"max_new_tokens": 3})
    assert settings["temperature"] == 0 and settings["repetition_penalty"] == 1.1
    model.llm.generation_config.no_repeat_ngram_size = 3
    with pytest.raises(ValueError, match=r"found \{'no_repeat_ngram_size': 3\} .*use --engine hf"):
        sampling_settings(model, {"max_new_tokens": 3})


def test_vllm_gets_room_for_the_longest_prompt_that_fits(case):
    model = open_for_inference(case / "model")
    questions = {"a": ["Why?", "Why " * 3000], "b": ["Which of these actions is it?"]}
    longest = len(model.prompt_ids(10, "Which of these actions is it?"))
    assert longest_prompt(model, questions, video_tokens=10) == longest


def test_a_checkpoint_of_the_first_llava_is_written_as_a_plain_llama(tmp_path, monkeypatch):
    monkeypatch.setenv("SKI_CACHE", str(tmp_path / "cache"))
    folder = tiny_llm(tmp_path / "llm")
    assert plain_llm(SkiLvlm.build(base_llm=str(folder), token_widths={"video": 4})) == str(folder)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"model_type": "llava", "mm_vision_tower": "clip"})
    model = SkiLvlm.build(base_llm=str(folder), token_widths={"video": 4})
    plain = plain_llm(model)
    assert plain != str(folder) and json.loads((tmp_path / plain / "config.json").read_text())["model_type"] == "llama"
    assert plain_llm(model) == plain
    words = model.llm.get_input_embeddings().weight[None, :5]
    assert load_llm(plain).model(inputs_embeds=words).logits.equal(model.llm(inputs_embeds=words).logits)


def test_a_language_model_with_an_adapter_is_to_be_merged_first(case):
    model = open_for_inference(case / "model")
    model.config.lora_rank = 4
    with pytest.raises(
        ValueError, match=r"with an adapter, expected a plain one; .*export.py --model .*model --to merged"
    ):
        plain_llm(model, case / "model")
    model.config.lora_rank, model.config.llm_folder = 0, "llm"
    tiny_llm(case / "model" / "llm")
    assert plain_llm(model, case / "model") == str(case / "model" / "llm")


@pytest.mark.skipif(not REAL, reason="SKI_VLLM_PYTHON names no Python with vLLM (scripts/vllm_environment.sh)")
def test_the_real_vllm_gives_the_answers_of_transformers(case, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    tiny_llm(tmp_path / "llm", width=256)  # heads as wide as vLLM has kernels for
    model = build_model(tmp_path / "model", tower=case / "tower", llm=tmp_path / "llm")
    assert main(flags(case, tmp_path / "hf", model=model)) == 0
    assert main(vllm_flags(case, tmp_path / "vllm", model=model, vllm_python=REAL)) == 0
    assert predictions(tmp_path / "vllm") == predictions(tmp_path / "hf")
    cut = [{key: record.get("cut") for key, record in logged(tmp_path / name).items()} for name in ("vllm", "hf")]
    assert cut[0] == cut[1]
