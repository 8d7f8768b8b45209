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
from ski_lvlm.recipe import SKELETON_TEXT_DEVIATIONS

CORRECTED = "corrected"
TITLES = {"synse": "SynSE", "msf": "MSF", "smie": "SMIE", "star": "STAR"}


def rows_of(method: str) -> list[Row[Recogniser]]:
    """Return the rows of a method: corrected, and one for each thing that its published code does otherwise."""
    title = TITLES[method]
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
        for name in ("", *SKELETON_TEXT_DEVIATIONS[method])
    ]


TABLE: Table[Recogniser] = Table(
    *("table_published", "Corrected and published: zero-shot top-1 (%)", ("Method", "As published")),
    NTU_SPLITS,
    tuple(row for method in TITLES for row in rows_of(method)),
)


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
