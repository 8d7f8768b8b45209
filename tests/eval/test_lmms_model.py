"""The adapter for lmms-eval: against its call contract, and in the harness itself where that is installed."""

import importlib
import json
import sys
import tomllib
from types import ModuleType, SimpleNamespace

import pytest
import torch

from ski_lvlm.lvlm.likelihood import answer_likelihoods
from tests.cases.command_case import ROOT
from tests.cases.tiny_llm import tiny_llm
from tests.cases.trained_case import build_model
from tests.cases.video_case import numbered, quarters, write_video
from tests.cases.vision_case import tiny_tower

QUESTION = "What does the person do?"
OPTIONS = ["sit down", "walk", "read a book"]
HAS_HARNESS = importlib.util.find_spec("lmms_eval") is not None


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("lmms")
    tiny_tower(root / "tower")
    tiny_llm(root / "llm")
    build_model(root / "model", tower=root / "tower", llm=root / "llm")
    for name, frames in {"a": numbered(8), "b": quarters()}.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    return root


class Base:
    """The part of lmms-eval's base class that its documented interface names."""

    def __init__(self):
        self._rank, self._world_size, self.task_dict = 0, 1, {}


@pytest.fixture(scope="module")
def model(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ski_lvlm.lvlm.inference.native_bf16", lambda: False)
        if not HAS_HARNESS:
            base = ModuleType("lmms_eval.api.model")
            base.lmms = Base
            for name in ("lmms_eval", "lmms_eval.api"):
                patch.setitem(sys.modules, name, ModuleType(name))
            patch.setitem(sys.modules, "lmms_eval.api.model", base)
            patch.delitem(sys.modules, "eval.lmms_model", raising=False)
        module = importlib.import_module("eval.lmms_model")
        # the arguments that the harness passes
        model = module.LmmsSkiLvlm(pretrained=str(case / "model"), batch_size="2", device="cpu", max_batch_size=4)
        documents = [{"video": str(case / "videos" / f"{name}.mp4")} for name in "aba"]
        model.task_dict = {"task": {"test": documents}}
        yield model
        if not HAS_HARNESS:
            sys.modules.pop("eval.lmms_model", None)


def request(second, number, *, question=QUESTION, visuals=lambda document: [document["video"]]):
    """A request with the arguments of a task of the kind `simple`."""
    return SimpleNamespace(args=(question, second, visuals, number, "task", "test"))


def tokens(model, case, name):
    return model.lvlm.encode(model.lvlm.read(case / "videos" / f"{name}.mp4"))


@pytest.mark.slow
def test_each_request_gets_the_models_own_answer(model, case):
    settings = {"max_new_tokens": 6, "temperature": 0, "until": ["\n\n"]}
    answers = model.generate_until([request(settings, number) for number in range(3)])
    expected = [model.lvlm.answer([tokens(model, case, name)], [QUESTION], max_new_tokens=6)[0].text for name in "aba"]
    assert answers == [text.split("\n\n")[0] for text in expected] and answers[0] != answers[1]
    (stopped,) = model.generate_until([request(settings | {"until": answers[0][2:3]}, 0)])
    assert stopped == answers[0][: answers[0].index(answers[0][2])]


@pytest.mark.slow
def test_a_continuation_has_the_loss_that_tasks_take_the_smallest_of(model, case):
    requests = [request(f" {option}", number) for number in (0, 1) for option in OPTIONS]
    results = model.loglikelihood(requests)
    for name, part in zip("ab", (results[:3], results[3:]), strict=True):
        expected = answer_likelihoods(model.lvlm.model, tokens(model, case, name), QUESTION, OPTIONS)
        assert [loss for loss, _ in part] == pytest.approx([-row.mean for row in expected], rel=1e-4)
        assert [is_greedy for _, is_greedy in part] == [row.is_greedy for row in expected]
    (callable_target,) = model.loglikelihood([request(lambda document: "walk", 0)])
    assert callable_target[0] == pytest.approx(results[1][0], rel=1e-4)


def test_a_task_that_shows_nothing_asks_the_question_alone(model):
    (answer,) = model.generate_until([request({"max_new_tokens": 4}, 0, visuals=lambda document: [])])
    no_video = torch.zeros(0, model.lvlm.tower.width)
    assert answer == model.lvlm.answer([no_video], [QUESTION], max_new_tokens=4)[0].text


@pytest.mark.parametrize("visuals", [[object()], ["a.mp4", "b.mp4"]], ids=["an image", "two videos"])
def test_a_task_of_another_kind_is_refused(model, visuals):
    with pytest.raises(ValueError, match="expected the file of one video; choose a task about videos"):
        model.generate_until([request({}, 0, visuals=lambda document: visuals)])
    with pytest.raises(NotImplementedError, match="single questions"):
        model.generate_until_multi_round([])


def test_unknown_arguments_are_refused(model, case):
    with pytest.raises(ValueError, match="found precision, expected pretrained=DIR"):
        type(model)(pretrained=str(case / "model"), precision="fp8")


def test_the_package_names_the_model_to_the_harness():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["lmms_eval.models"] == {"ski_lvlm": "eval.lmms_model:manifest"}


@pytest.mark.slow
@pytest.mark.skipif(not HAS_HARNESS, reason="lmms-eval is not installed")
def test_the_harness_runs_a_tiny_task(model, case, tmp_path):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.models.registry_v2 import ModelRegistryV2
    from lmms_eval.tasks import TaskManager

    registry = ModelRegistryV2()
    registry.register_manifest(sys.modules["eval.lmms_model"].manifest())
    assert registry.get_model_class("ski_lvlm") is type(model)
    documents = [{"video": str(case / "videos" / f"{name}.mp4"), "question": QUESTION} for name in "ab"]
    answers = [model.lvlm.generate(document["video"], QUESTION, max_new_tokens=6) for document in documents]
    rows = [document | {"answer": answer} for document, answer in zip(documents, [answers[0], "no such"], strict=True)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny_task_texts.py").write_text(
        "def visual(document):\n    return [document['video']]\n"
        "def results(document, answers):\n    return {'exact': float(answers[0] == document['answer'].strip())}\n"
    )
    (tmp_path / "tiny_written.yaml").write_text(
        "task: tiny_written\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {tmp_path / 'q.jsonl'}, cache_dir: {tmp_path / 'cache'}}}\n"
        "test_split: train\noutput_type: generate_until\ndoc_to_visual: !function tiny_task_texts.visual\n"
        "doc_to_text: question\ndoc_to_target: answer\nprocess_results: !function tiny_task_texts.results\n"
        "generation_kwargs: {max_new_tokens: 6, temperature: 0}\n"
        "metric_list: [{metric: exact, aggregation: mean, higher_is_better: true}]\n"
    )
    manager = TaskManager(include_path=str(tmp_path))
    result = simple_evaluate(model=model, tasks=["tiny_written"], task_manager=manager, batch_size=2)
    assert result["results"]["tiny_written"]["exact,none"] == 0.5
