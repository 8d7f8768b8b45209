"""The command that trains skeleton encoders and students in miniature."""

import sys

from tests.cases.command_case import ROOT

TRAIN = [sys.executable, str(ROOT / "train_ski_vlm.py")]
QUICK = ["--batch_size=8", "--per_device_train_batch_size=8", "--dataloader_num_workers=0", "--use_cpu=True"]
