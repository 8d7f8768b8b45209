"""A table of our own: students and their teachers, each student by each skeleton-text model.

    python scripts/table_teachers.py  # in miniature, on the synthetic set
    python scripts/table_teachers.py --rows ViFiCLIP  # one student alone
    python scripts/table_teachers.py --data ntu --ntu DIR --prepared DIR

The first rows are the teachers themselves, which look at skeletons. The others are students, which look at videos.
"before" is the fine-tuned student. "none" was trained as long as the others at α = 0, so that a difference to it is due
to the teacher. All teachers are offline but the one called online, which is the paper's SKI-VLM. A SkeletonCLIP alone
teaches by its F_LS. All others teach by standardised scores, see `ski_lvlm/vlm/teacher.py`. The ensemble is three
methods on one encoder: SkeletonCLIP, SynSE and SMIE.

Assumption: SynSE, SMIE and STAR train for all their rounds. As teachers they are asked about seen classes, and a choice
by held-out ones says little of these.
"""

from dataclasses import replace
from functools import partial

from scripts.tables.methods import (
    SKI_FROSTER,
    SKI_VIFICLIP,
    SKI_XCLIP,
    Distilled,
    FineTuned,
    Recogniser,
    SkeletonAligned,
    SkeletonText,
    Taught,
)
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import Row, Table
from ski_lvlm.cli import run

NONE = (None, None)
SKELETON_CLIP, SHIFT_GCN_CLIP = "SkeletonCLIP", "Shift-GCN-CLIP"
TEACHERS: dict[str, SkeletonAligned | SkeletonText] = {
    SKELETON_CLIP: SkeletonAligned(),
    SHIFT_GCN_CLIP: SkeletonAligned("shift_gcn"),
    "SynSE": SkeletonText("synse", select="last"),
    "SMIE": SkeletonText("smie", select="last"),
    "STAR": SkeletonText("star", select="last"),
}
ENSEMBLE = (SKELETON_CLIP, "SynSE", "SMIE")
TEACHERS_ALONE: list[Row[Recogniser]] = [
    Row(("–", name), NONE, model, modality="skeleton", repeated=True) for name, model in TEACHERS.items()
]
STUDENTS: dict[str, Distilled] = {"ViFiCLIP": SKI_VIFICLIP, "XCLIP": SKI_XCLIP, "FROSTER": SKI_FROSTER}


def student_rows(title: str, ski: Distilled) -> list[Row[Recogniser]]:
    """Return the rows of one student: alone, trained as long without a teacher, and by each teacher."""
    none, offline = f"{title} none", f"{title} {SKELETON_CLIP}"
    taught: dict[str, Recogniser] = {name: Taught(ski.student, (model,)) for name, model in TEACHERS.items()}
    taught[SKELETON_CLIP] = replace(ski, teacher="offline")  # the same run as in Table 4
    taught["ensemble"] = Taught(ski.student, tuple(TEACHERS[name] for name in ENSEMBLE))
    rows: list[Row[Recogniser]] = [
        Row((title, "before"), NONE, FineTuned(ski.student), repeated=True),
        Row((title, "none"), NONE, replace(ski, alpha=0), repeated=True),
        Row((title, f"{SKELETON_CLIP}, online"), NONE, ski, against=(none,), repeated=True),
    ]
    for name, method in taught.items():
        against = (none,) if name == SKELETON_CLIP else (none, offline)
        rows.append(Row((title, name), NONE, method, against=against, repeated=True))
    return rows


TABLE: Table[Recogniser] = Table(
    *("table_teachers", "Students and their teachers: zero-shot top-1 (%)", ("Student", "Teacher")),
    ("ntu60/48-12", "ntu120/110-10"),
    (*TEACHERS_ALONE, *(row for title, ski in STUDENTS.items() for row in student_rows(title, ski))),
)


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
