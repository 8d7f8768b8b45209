"""Table 7: SkeletonCLIP and ViFiCLIP with and without pretraining on the seen classes before distillation.

    python scripts/table_7_pretraining.py  # in miniature, on the synthetic set
    python scripts/table_7_pretraining.py --data ntu --ntu DIR --prepared DIR

Without pretraining, ViFiCLIP is plain CLIP, and SkeletonCLIP has an untrained skeleton encoder.
"""

from dataclasses import replace
from functools import partial

from scripts.tables.methods import SKI_VIFICLIP, Recogniser
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import Row, Table
from ski_lvlm.cli import run

NEITHER = replace(SKI_VIFICLIP, video_finetuned=False, skeletons="untrained")
SKELETON = replace(SKI_VIFICLIP, video_finetuned=False)
VIDEO = replace(SKI_VIFICLIP, skeletons="untrained")

# fmt: off
TABLE: Table[Recogniser] = Table("table_7", "Pretraining of the components of SKI-ViFiCLIP: zero-shot top-1 (%)",
              ("Method", "Pretraining"), ("ntu60/48-12", "ntu120/110-10"), (
    Row(("Online Distillation", ""),     (50.0, 10.0), NEITHER,      mean=16.7),
    Row(("", "+ SkeletonCLIP"),            (49.2, 38.7), SKELETON,     mean=43.3),
    Row(("", "+ ViFiCLIP"),                (53.0, 69.6), VIDEO,        mean=60.2),
    Row(("", "+ SkeletonCLIP + ViFiCLIP"), (52.0, 77.5), SKI_VIFICLIP, mean=62.2),
), reference="+ SkeletonCLIP + ViFiCLIP")
# fmt: on


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
