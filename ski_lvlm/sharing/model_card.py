"""The model card that is written with every trained model, from the files in its folder alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ski_lvlm.sharing.bases import UNKNOWN, Base, bases_of, licence_of
from ski_lvlm.sharing.card_texts import COMMANDS, DESCRIPTIONS, PYTHON, limits_of
from ski_lvlm.sharing.kinds import CARD, Kind, kind_of, settings_of
from ski_lvlm.sharing.public_settings import is_local
from ski_lvlm.sharing.results import Result, results_of
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.json_files import read_json

if TYPE_CHECKING:
    from huggingface_hub import ModelCard, ModelCardData

_TEMPLATE = Path(__file__).with_name("model_card.md.j2")
_FOLDERS = (  # of a recipe: where data and earlier runs lay
    *("prepared", "ntu", "frames_cache", "instructions", "features", "videos", "descriptions"),
    *("skeleton_encoder", "skeleton_clip", "video_student", "init_from"),
)
_BASES = ("base_llm", "base_vlm", "backbone", "text_encoder", "video_projector")
_TRAINING = {  # of a card's settings
    "dataset": "data set",
    "split": "split",
    "protocol": "protocol",
    "stage": "stage",
    "method": "method",
    "num_frames": "frames of a clip",
    "prompt": "sentence of a class",
}


def write_model_card(folder: Path, *, results: Iterable[Path] = (), licence: str = "") -> Path:
    """Write README.md of the trained model in a folder, and return it.

    `results` are folders of evaluations beside those that are looked for. `licence` is one that its owner chose.

    Raises:
        ValueError: no trained model in the folder.
    """
    file = folder / CARD
    card = model_card(folder, results=results, licence=licence)
    with atomic_path(file) as temporary:
        temporary.write_text(str(card), encoding="utf-8")
    return file


def add_missing_card(folder: Path) -> None:
    """Write the model card of a finished run that has none, since the run ended before it was written."""
    if not (folder / CARD).is_file():
        write_model_card(folder)


def model_card(folder: Path, *, results: Iterable[Path] = (), licence: str = "") -> "ModelCard":
    """Return the card of the trained model in a folder. See `write_model_card`."""
    from huggingface_hub import ModelCard

    kind = kind_of(folder)
    settings = settings_of(folder, kind)
    recipe, outcome = _read(folder / "recipe.json"), _read(folder / "result.json")
    bases, figures = bases_of(settings, kind.model_type), results_of(folder, results)
    licence = licence or licence_of(bases)
    split = settings.get("split", "")
    return ModelCard.from_template(
        _header(kind, settings, bases, figures, licence),
        template_path=str(_TEMPLATE),
        title=_title(kind, settings),
        description=DESCRIPTIONS[kind.model_type],
        python=PYTHON[kind.model_type],
        command=COMMANDS[kind.model_type].format(split=_cell(split) or "SPLIT"),
        training=_table(["", ""], [*_training_rows(settings, recipe, outcome)]),
        recipe=_table(["setting", "value"], sorted(_recipe_rows(recipe))) if recipe else "Unknown.",
        parts=_table(["part", "model", "digest", "licence"], [*_part_rows(bases, settings)]),
        results=_result_table(figures),
        licence=_licence_text(licence, bases),
        limits="\n".join(f"- {text}" for text in limits_of(kind, settings, is_tested=bool(figures))),
    )


def _header(
    kind: Kind, settings: dict[str, Any], bases: Sequence[Base], figures: Sequence[Result], licence: str
) -> "ModelCardData":
    from huggingface_hub import EvalResult, ModelCardData

    title = _title(kind, settings)
    evaluations = [
        EvalResult(
            task_type=kind.pipeline_tag,
            dataset_type=result.data or UNKNOWN,
            dataset_name=result.data or UNKNOWN,
            metric_type="accuracy" if "accuracy" in result.metric else result.metric,
            metric_name=result.test,
            metric_value=result.value,
        )
        for result in figures
    ]
    data_set = settings.get("dataset")
    return ModelCardData(
        license=licence,
        base_model=list(dict.fromkeys(base.hub_id for base in bases if base.hub_id)) or None,
        tags=["ski-lvlm", *kind.tags],
        pipeline_tag=kind.pipeline_tag,
        library_name="ski-lvlm",
        datasets=[data_set] if data_set and not is_local(data_set) and "+" not in data_set else None,
        model_name=title if evaluations else None,
        eval_results=evaluations or None,
    )


def _title(kind: Kind, settings: dict[str, Any]) -> str:
    details = [str(settings[key]) for key in ("student", "method", "stage") if settings.get(key)]
    encoder = settings.get("encoder")
    details = [encoder.get("network", "hyperformer"), *details] if isinstance(encoder, dict) else details
    return f"{kind.title}: {', '.join(details)}" if details else kind.title


def _training_rows(settings: dict[str, Any], recipe: dict[str, Any], outcome: dict[str, Any]) -> Iterable[list[str]]:
    for key, name in _TRAINING.items():
        if key in settings and settings[key] not in (None, ""):
            yield [name, _without_folder(key, settings[key])]
    classes = settings.get("seen")
    if classes:
        yield [f"{len(classes)} classes", ", ".join(map(str, classes))]
    for key in ("instructions", "features"):
        if recipe.get(key):
            yield [key, _without_folder(key, recipe[key])]
    amounts = {**outcome.get("train", {}), **outcome}
    for key, name in {
        "conversations": "conversations",
        "clips": "clips",
        "epoch": "epochs",
        "samples": "samples",
    }.items():
        if amounts.get(key) is not None:
            yield [name, str(amounts[key])]
    if not recipe:
        yield ["everything else", UNKNOWN]


def _recipe_rows(recipe: dict[str, Any]) -> Iterable[list[str]]:
    for key, value in recipe.items():
        if value not in (None, "", []):
            values = value if isinstance(value, list) else [value]
            yield [key, ", ".join(_without_folder(key, entry) for entry in values)]


def _without_folder(key: str, value: Any) -> str:  # noqa: ANN401
    """Return a value without the folders of this machine."""
    text = str(value)
    is_path = key in _FOLDERS or text.startswith(("/", "~")) or (key in _BASES and is_local(text))
    return Path(text).name if isinstance(value, str) and is_path else text


def _part_rows(bases: Sequence[Base], settings: dict[str, Any]) -> Iterable[list[str]]:
    for base in bases:
        yield [base.role, base.title, base.digest or "trained further, its weights are here", base.licence]
    if settings.get("tuned_llm_digest"):
        yield ["language model after training", "here", settings["tuned_llm_digest"], ""]
    for teacher in settings.get("teachers", []):
        yield [f"teacher ({teacher.get('method', UNKNOWN)})", "not here", teacher.get("digest", UNKNOWN), ""]
    if not bases:
        yield ["everything", "trained from scratch", "", ""]


def _result_table(figures: Sequence[Result]) -> str:
    if not figures:
        return "None is known to this card. `python scripts/model_card.py` adds those of the evaluation commands."
    rows = [[*map(str, (figure.test, figure.data, figure.metric, figure.value, figure.note))] for figure in figures]
    return _table(["test", "data set", "metric", "value", "of"], rows)


def _licence_text(licence: str, bases: Sequence[Base]) -> str:
    if not bases:
        return "Not chosen yet. The terms of the training data may restrict it."
    if licence == UNKNOWN:
        return "Unknown. It follows from those of the bases above, and the terms of the training data may restrict it."
    return f"`{licence}`, as far as the cards of the bases say. The terms of the training data may restrict it."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    """Return a value for a cell of a Markdown table."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _read(file: Path) -> dict[str, Any]:
    content = read_json(file) if file.is_file() else {}
    return content if isinstance(content, dict) else {}
