"""Table 2: zero-shot recognition on all four splits of NTU RGB+D.

    python scripts/table_2_zero_shot.py  # in miniature, on the synthetic set
    python scripts/table_2_zero_shot.py --rows SynSE SMIE STAR MSF Floor --seeds 9  # its skeleton rows
    python scripts/table_2_zero_shot.py --data ntu --ntu DIR --prepared DIR

V, T, S are video, text and skeleton, and ○ is skeletons in training only. Rows with † are not the paper's. MSF's
published numbers are those of its own logs. The floor is a ridge regression from class means to the vectors of class
names. The skeleton rows are trained on a frozen Shift-GCN, as published. In miniature that is our Hyperformer. The CLIP
row needs a backbone whose image and text towers were trained together.
"""

from functools import partial

from scripts.tables.later_systems import note
from scripts.tables.methods import SKI_VIFICLIP, FineTuned, Recogniser, SkeletonText, ZeroTraining
from scripts.tables.recognition_command import table_main
from scripts.tables.rows import NTU_SPLITS, SKI, T_S, V_T, Row, Table
from ski_lvlm.cli import run

VIFICLIP = "ViFiCLIP (Rasheed et al. 2023)"
FLOOR = "Floor: ridge regression †"


def skeleton_row(name: str, published: tuple[float | None, ...], method: str) -> Row[Recogniser]:
    """Return the row of a skeleton-text method on the scale's encoder."""
    against = () if name == FLOOR else (FLOOR,)
    model = SkeletonText(method, encoder=None)
    return Row((name, *T_S), published, model, modality="skeleton", against=against, repeated=True)


# fmt: off
TABLE: Table[Recogniser] = Table("table_2", "Zero-shot action recognition: top-1 (%) on unseen classes",
              ("Method", "V", "T", "S"), NTU_SPLITS, (
    skeleton_row("SynSE (Gupta, Sharma, and Sarvadevabhatla 2021)", (75.8, 33.3, 62.7, 38.7), "synse"),
    skeleton_row("SMIE (Zhou et al. 2023)",    (78.0, 40.2, 65.7, 45.3), "smie"),
    skeleton_row("STAR (Chen et al. 2024)",    (81.4, 45.1, 63.3, 44.3), "star"),
    skeleton_row("MSF (MSF-GZSSAR 2023) †",    (83.6, 45.8, 71.2, 59.7), "msf"),
    skeleton_row(FLOOR,                        (None, None, None, None), "ridge"),
    Row(("CLIP (Radford et al. 2021)", *V_T),  (54.5, 20.2, 35.0, 15.2), ZeroTraining()),
    Row(("XCLIP (Ni et al. 2022)", *V_T),      (76.0, 38.9, 57.8, 49.7), FineTuned("xclip"), repeated=True),
    Row((VIFICLIP, *V_T),                      (79.9, 48.2, 70.0, 56.6), FineTuned("vificlip"), repeated=True),
    Row(("FROSTER (Huang et al. 2024)", *V_T), (79.1, 43.9, 65.2, 34.0), FineTuned("froster"), repeated=True),
    Row(("SKI-ViFiCLIP", *SKI),                (82.2, 52.0, 77.5, 59.3), SKI_VIFICLIP, against=(VIFICLIP,),
        repeated=True),
), note=note())
# fmt: on


if __name__ == "__main__":
    run(partial(table_main, TABLE, __doc__ or ""))
