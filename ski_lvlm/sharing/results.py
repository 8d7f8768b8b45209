"""Results of a trained model that lie in its run's folder, or beside it and name it."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.storage.json_files import read_json

_RUN_TESTS = {"seen_test": "seen classes, test clips", "unseen_test": "unseen classes, test clips"}
_RUN_TESTS |= {"unseen_all": "unseen classes, all clips"}

_log = logging.getLogger(__name__)


class Result(NamedTuple):
    """One figure with what it is of."""

    test: str  # such as "zero-shot, unseen classes of ntu60/48-12 by video"
    data: str  # the data set, empty where it is not known
    metric: str
    value: float
    note: str = ""  # clips, chance, interval, judge


def results_of(folder: Path, places: Iterable[Path] = ()) -> list[Result]:
    """Return the results of the model in a folder: of the run itself, and of evaluations.

    Evaluations are looked for in the folder, beside it where they name it, and in the folders `places`.
    """
    results = [*_own_tests(folder)]
    for file in _evaluations(folder, places):
        try:
            results += _READERS[file.name](read_json(file))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            _log.warning("%s is left out of the model card, it is no result of an evaluation here (%s)", file, error)
    return list(dict.fromkeys(results))


def _own_tests(folder: Path) -> Iterator[Result]:
    content = read_json(folder / "result.json") if (folder / "result.json").is_file() else {}
    data = str(_recipe_split(folder))
    for part, title in _RUN_TESTS.items():
        test = content.get(part)
        if isinstance(test, dict) and "top1" in test:
            yield Result(f"at the end of training: {title}", data, "top-1 accuracy", test["top1"], _counted(test))


def _recipe_split(folder: Path) -> Any:  # noqa: ANN401
    recipe = read_json(folder / "recipe.json") if (folder / "recipe.json").is_file() else {}
    return recipe.get("split") or ""


def _evaluations(folder: Path, places: Iterable[Path]) -> list[Path]:
    """Return files of evaluations, first those within the folder."""
    inner = [file for name in _READERS for file in sorted(folder.glob(f"*/{name}"))]
    beside = [file for name in _READERS for file in sorted(folder.resolve().parent.glob(f"*/{name}"))]
    elsewhere = [file for place in places for name in _READERS for file in sorted(place.rglob(name))]
    files = [*inner, *(file for file in beside if _names(file, folder)), *elsewhere]
    return list({file.resolve(): file for file in files}.values())


def _names(file: Path, folder: Path) -> bool:
    """Return whether an evaluation was that of the model in a folder."""
    try:
        content = read_json(file)
    except ValueError:  # of something else
        return False
    if not isinstance(content, dict):
        return False
    if file.name == "scores.json":
        runs = [Path(path).with_suffix(".run.json") for path in content.get("predictions", [])]
        models = [read_json(run).get("model") for run in runs if run.is_file()]
        return bool(models) and all(_is_folder(model, folder) for model in models)
    return _is_folder(content.get("model"), folder)


def _is_folder(model: object, folder: Path) -> bool:
    model = model.get("source") if isinstance(model, dict) else model
    return isinstance(model, str) and Path(model).exists() and Path(model).resolve() == folder.resolve()


def _zero_shot(content: dict[str, Any]) -> Iterator[Result]:
    is_closed = "unseen" not in content  # a test of the classes of training
    scores, data = content["seen" if is_closed else "unseen"], str(content.get("data", ""))
    test = "closed set: seen" if is_closed else "zero-shot: unseen"
    title = f"{test} classes of {content['split']} by {content['modality']}, {content['clips']} clips"
    note = content.get("note", "")
    yield Result(title, data, "top-1 accuracy", scores["top1"], ", ".join(filter(None, (_counted(scores), note))))
    general = content.get("generalised")
    if general:
        title = f"generalised zero-shot: {content['split']} by {content['modality']}"
        calibrated = general.get("calibrated")
        best, origin = (calibrated, f"calibrated by {calibrated['by']}") if calibrated else (general, "not calibrated")
        yield Result(title, data, "harmonic mean of seen and unseen", best["harmonic_mean"], origin)


def _counted(test: dict[str, Any]) -> str:
    parts = [f"{test[name]} {name}" for name in ("clips", "classes") if name in test]
    return ", ".join(parts + ([f"chance {test['chance']:.1%}"] if "chance" in test else []))


def _scores(content: dict[str, Any]) -> Iterator[Result]:
    judge = f"judge {content['judge']}" + (f", {content['note']}" if content.get("note") else "")
    for metric, row in content["metrics"].items():
        if row.get("mean") is not None:
            yield Result("captions and answers, graded (0 to 100)", "", metric, row["mean"], judge)


def _choices(content: dict[str, Any]) -> Iterator[Result]:
    title = "multiple choice" + (", text alone" if content.get("text_only") else "")
    for method, row in content["methods"].items():
        if row.get("accuracy") is not None:
            note = f"{content['items']} questions, chance {content['chance']:.1%}"
            yield Result(f"{title}, by {method}", "", "accuracy", row["accuracy"], note)


_READERS = {"zero_shot.json": _zero_shot, "scores.json": _scores, "accuracy.json": _choices}
