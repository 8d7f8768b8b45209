"""The instruction pairs as a data set for Hugging Face: one Parquet file per split, and a card.

The same rows and facts give the same bytes. A folder without README.md is incomplete.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_curation.results.dataset_rows import FIELDS, DatasetRow, as_table, row_schema
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.git_lfs import refuse_pointers

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "validation", "test", "test_unseen")
CARD = "README.md"
_ROWS_IN_GROUP = 10_000
_SIZES = (  # the hub's names
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M")),
)
_MISSING = "pyarrow is not installed; run: python -m pip install -r requirements.txt -c constraints.txt"


def write_dataset(folder: Path, splits: Mapping[str, Sequence[DatasetRow]], *, facts: Mapping[str, object]) -> None:
    """Write SPLIT.parquet for every split with rows, and the card. Files of splits without rows are removed.

    `facts` are captioner, question writer and digests of prompts for the card.

    Raises:
        ValueError: no rows, an unknown split, a duplicate id, a clip in two splits, or an action of test_unseen in
            another split.
        ImportError: pyarrow is missing.
    """
    filled = {split: splits[split] for split in SPLITS if splits.get(split)}
    _check(splits, filled)
    schema = _schema(filled)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for torn in folder.glob(".*.partial*"):
        torn.unlink()
    for split in SPLITS:
        file = folder / f"{split}.parquet"
        if split in filled:
            _write_parquet(file, filled[split], schema)
        else:
            file.unlink(missing_ok=True)
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(dataset_card(filled, facts=facts), encoding="utf-8")


def _check(splits: Mapping[str, Sequence[DatasetRow]], filled: Mapping[str, Sequence[DatasetRow]]) -> None:
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise ValueError(f"unknown splits {', '.join(unknown)}; expected some of {', '.join(SPLITS)}")
    if not filled:
        raise ValueError("no split has a row, so there is no data set to write")
    ids = Counter(row.id for rows in filled.values() for row in rows)
    if twice := [name for name, times in ids.items() if times > 1]:
        raise ValueError(f"{len(twice)} ids are given more than once, such as {twice[0]!r}; give every row its own")
    _check_clips(filled)


def _check_clips(filled: Mapping[str, Sequence[DatasetRow]]) -> None:
    split_of: dict[str, str] = {}
    for split, rows in filled.items():
        for clip in {row.clip for row in rows}:
            if split_of.setdefault(clip, split) != split:
                raise ValueError(f"clip {clip!r} is in {split_of[clip]} and in {split}; a clip belongs to one split")
    unseen = _classes(filled.get("test_unseen", ()))
    for split in SPLITS[:-1]:
        if shared := sorted(unseen & _classes(filled.get(split, ())), key=str):
            raise ValueError(
                f"action {_title(*shared[0])} of test_unseen is in {split} as well; it must be in no other split"
            )


def _values(rows: Iterable[DatasetRow], column: str) -> set[Any]:
    return {value for row in rows if (value := getattr(row, column)) is not None}


def _classes(rows: Iterable[DatasetRow]) -> set[tuple[int | None, str | None]]:
    return {(row.action, row.action_name) for row in rows} - {(None, None)}


def _schema(splits: Mapping[str, Sequence[DatasetRow]]) -> "pa.Schema":
    try:
        return row_schema(row for rows in splits.values() for row in rows)
    except ImportError as error:
        raise ImportError(_MISSING) from error


def _write_parquet(file: Path, rows: Sequence[DatasetRow], schema: "pa.Schema") -> None:
    import pyarrow.parquet as pq

    table = as_table(rows, schema)
    # All explicit, so that another version's defaults do not change the bytes.
    settings = {"version": "2.6", "data_page_version": "1.0", "compression": "zstd", "compression_level": 3}
    with atomic_path(file) as temporary:
        pq.write_table(table, temporary, row_group_size=_ROWS_IN_GROUP, use_dictionary=True, **settings)


def read_dataset(file: Path) -> list[dict[str, Any]]:
    """Read the rows of a Parquet file with `DatasetRow`'s columns. Values may be missing or of another type.

    Raises:
        ValueError: not a whole Parquet file, or one without the columns clip, question and answer.
        ImportError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(_MISSING) from error

    refuse_pointers(file)
    try:
        with pq.ParquetFile(file) as parquet:
            table = parquet.read(columns=[name for name in FIELDS if name in parquet.schema_arrow.names])
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a whole Parquet file ({error}); write or copy it again") from error
    if missing := sorted({"clip", "question", "answer"} - set(table.column_names)):
        raise ValueError(f"{file}: the columns {', '.join(missing)} are missing; expected {', '.join(FIELDS)}")
    return table.to_pylist()


def dataset_card(splits: Mapping[str, Sequence[DatasetRow]], *, facts: Mapping[str, object]) -> str:
    """Return README.md for these rows, with the header that Hugging Face reads."""
    import jinja2

    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.filters["cell"] = _cell
    total = sum(map(len, splits.values()))
    return page.get_template("dataset_card.md.j2").render(
        facts=facts,
        size=size_category(total),
        counts={split: _counts(rows) for split, rows in splits.items()},
        balance=_balance(splits),
        columns=list(dict.fromkeys(column for rows in splits.values() for row in rows for column in row.columns)),
        own_subjects=_apart([_values(rows, "subject") for rows in splits.values()]),
        has_tests=any(split.startswith("test") for split in splits),
    )


def size_category(rows: int) -> str:
    """Return the hub's name for a number of rows.

    >>> size_category(5000)
    '1K<n<10K'
    """
    return next((name for limit, name in _SIZES if rows < limit), "100M<n<1B")


def _counts(rows: Sequence[DatasetRow]) -> list[int]:
    return [len(rows), len(_values(rows, "clip")), len(_values(rows, "subject")), len(_classes(rows))]


def _apart(groups: Sequence[set[Any]]) -> bool:
    return sum(map(len, groups)) == len(set[Any]().union(*groups)) > 0


def _balance(splits: Mapping[str, Sequence[DatasetRow]]) -> list[tuple[str, list[int]]]:
    """Count every action's rows in each split. Clips without a known action come last."""
    counts = {split: Counter((row.action, row.action_name) for row in rows) for split, rows in splits.items()}
    actions = sorted({a for c in counts.values() for a in c}, key=lambda a: (a[0] is None, a[0] or 0, a[1] or ""))
    return [(_title(*action), [counts[split][action] for split in splits]) for action in actions]


def _title(action: int | None, name: str | None) -> str:
    return " ".join(([] if action is None else [str(action)]) + ([name] if name else [])) or "not known"


def _cell(value: object) -> str:
    """Return a value for a cell of a Markdown table."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
