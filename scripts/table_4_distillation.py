"""Table 4: the distilled quantity, and a teacher that is trained or not.

    python scripts/table_4_distillation.py  # in miniature, on the synthetic set
    python scripts/table_4_distillation.py --data ntu --ntu DIR --prepared DIR

Each row is SKI-ViFiCLIP with one change. The last is the paper's choice.
"""

from dataclasses import replace
from functools import partial

from scripts.tables.methods import SKI_VIFICLIP, Recogniser
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import Row, Table
from ski_lvlm.cli import run

FEATURE = replace(SKI_VIFICLIP, level="feature")
PROJECTED = replace(SKI_VIFICLIP, level="feature_projected")
OFFLINE = replace(SKI_VIFICLIP, teacher="offline")

# fmt: off
TABLE: Table[Recogniser] = Table("table_4", "Distillation techniques: zero-shot top-1 (%)",
              ("Method",), ("ntu60/48-12", "ntu120/110-10"), (
    Row(("Feature-level KD w/o Projection",), (52.9, 65.3), FEATURE,      mean=58.4),
    Row(("Feature-level KD w Projection",),   (53.2, 64.7), PROJECTED,    mean=58.4),
    Row(("Offline KD",),                      (53.3, 70.8), OFFLINE,      mean=60.8),
    Row(("Online KD (ours)",),                (52.0, 77.5), SKI_VIFICLIP, mean=62.2),
), reference="Online KD (ours)")
# fmt: on


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
