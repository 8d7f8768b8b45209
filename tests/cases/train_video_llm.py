"""train_ski_lvlm.py as a command that finds the stand-ins for torchvision's video processors."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tests.cases.video_llm_case import register_stand_ins

    register_stand_ins()
    runpy.run_path(str(ROOT / "train_ski_lvlm.py"), run_name="__main__")
