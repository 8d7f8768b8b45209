"""Table 5: the distance between the two models' similarities in the distillation loss.

    python scripts/table_5_distance.py  # in miniature, on the synthetic set
    python scripts/table_5_distance.py --data ntu --ntu DIR --prepared DIR

Each row is SKI-ViFiCLIP with one change. The last is the paper's choice.
"""

from dataclasses import replace
from functools import partial

from scripts.tables.methods import SKI_VIFICLIP, Recogniser
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import Row, Table
from ski_lvlm.cli import run

CONTRASTIVE = replace(SKI_VIFICLIP, distance="contrastive")
KL = replace(SKI_VIFICLIP, distance="kl")

# fmt: off
TABLE: Table[Recogniser] = Table("table_5", "Distillation losses: zero-shot top-1 (%)",
              ("Loss Function",), ("ntu60/48-12", "ntu120/110-10"), (
    Row(("Contrastive Loss",),              (46.9, 70.0), CONTRASTIVE),
    Row(("KL Divergence Loss",),            (48.5, 73.1), KL),
    Row(("Mean Squared Error (MSE) Loss",), (52.0, 77.5), SKI_VIFICLIP),
), reference="Mean Squared Error (MSE) Loss")
# fmt: on


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
