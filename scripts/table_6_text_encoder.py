"""Table 6: SkeletonCLIP's text encoder, trainable or frozen.

    python scripts/table_6_text_encoder.py  # in miniature, on the synthetic set
    python scripts/table_6_text_encoder.py --data ntu --ntu DIR --prepared DIR

Assumption: the trainable one is trained from alignment on, as in the published code, and not in SCD alone.
"""

from dataclasses import replace
from functools import partial

from scripts.tables.methods import SKI_VIFICLIP, Recogniser
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import Row, Table
from ski_lvlm.cli import run

TRAINABLE = replace(SKI_VIFICLIP, teacher_text="trainable")

# fmt: off
TABLE: Table[Recogniser] = Table("table_6", "SkeletonCLIP's text encoder in SKI-ViFiCLIP: zero-shot top-1 (%)",
              ("Method",), ("ntu60/48-12", "ntu120/110-10"), (
    Row(("Trainable Text Encoder",),     (52.4, 72.2), TRAINABLE,    mean=60.7),
    Row(("Frozen Text Encoder (ours)",), (52.0, 77.5), SKI_VIFICLIP, mean=62.2),
), reference="Frozen Text Encoder (ours)")
# fmt: on


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
