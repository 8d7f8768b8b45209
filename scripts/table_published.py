"""A table of our own: skeleton-text methods corrected, and with one thing at a time as in their published code.

    python scripts/table_published.py --seeds 9  # in miniature, on the synthetic set: three trainings of each split
    python scripts/table_published.py --data ntu --ntu DIR --prepared DIR

docs/training.md says what each name of --published does. The encoders are those of Table 2, whose runs are shared.
"""

from functools import partial

from scripts.tables.methods import Recogniser, SkeletonText
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import NTU_SPLITS, Row, Table
from ski_lvlm.cli import run

CORRECTED = "corrected"
# Names for --published, by the methods' titles and names. They are those of METHODS, which would load torch for --help.
DEVIATIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("SynSE", "synse"): ("relu",),
    ("MSF", "msf"): ("relu",),
    ("SMIE", "smie"): ("rolled_negatives", "raw_test"),
    ("STAR", "star"): ("scrambled_map", "no_temperature", "transductive"),
}


def rows_of(title: str, method: str) -> list[Row[Recogniser]]:
    """Return the rows of a method: corrected, and one for each thing that its published code does otherwise."""
    corrected = f"{title} {CORRECTED}"
    return [
        Row(
            (title, name or CORRECTED),
            (None,) * len(NTU_SPLITS),
            SkeletonText(method, encoder=None, published=name),
            modality="skeleton",
            against=(corrected,) if name else (),
            repeated=True,
        )
        for name in ("", *DEVIATIONS[title, method])
    ]


TABLE: Table[Recogniser] = Table(
    *("table_published", "Corrected and published: zero-shot top-1 (%)", ("Method", "As published")),
    NTU_SPLITS,
    tuple(row for title, method in DEVIATIONS for row in rows_of(title, method)),
)


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
