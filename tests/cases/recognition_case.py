"""A trained run in miniature: random weights, three-frame videos, skeletons of the same clips."""

import torch

from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, StudentCard, save_model
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.preprocessing import Preprocessing
from tests.cases.encoder_case import narrow
from tests.cases.skeleton_case import SEEN, SPLIT, UNSEEN, packed_set
from tests.cases.text_case import tiny_clip
from tests.cases.video_case import numbered, write_video

PROMPT = "a photo of {name} ."


def clip(action, performer=9):
    return str(ClipName(1, 1, performer, 1, action))


def student_run(folder, *, backbone, seen=SPLIT.seen, names="canonical"):
    torch.manual_seed(1)
    student = build_student("vificlip", backbone=backbone, num_frames=2)
    card = StudentCard(
        stage="video_finetune",
        student="vificlip",
        backbone=backbone,
        text_encoder="",
        num_frames=2,
        side=8,
        framing="whole",
        split="synthetic",
        dataset="synthetic",
        seen=seen,
        prompt=PROMPT,
        names=names,
    )
    save_model(folder, student, card=card)
    return folder


def encoder_run(folder):
    """Save a Shift-GCN with its classifier."""
    encoder = narrow("shift_gcn")
    model = ActionClassifier(encoder, num_classes=len(SPLIT.seen))
    settings = {"num_frames": 16, "split": "synthetic", "dataset": "synthetic", "seen": SPLIT.seen}
    preprocessing = Preprocessing().to_json()
    card = SkeletonEncoderCard("skeleton_pretrain", encoder.settings, preprocessing, **settings)
    save_model(folder, model, card=card)
    return folder


def skeleton_run(folder, *, text, seen=SPLIT.seen, scale="published"):
    torch.manual_seed(2)
    encoder = Hyperformer(layout=LAYOUTS["ntu-25"], num_heads=1, head_dim=12, depth=2, strided=(2,))
    model = SkeletonCLIP(encoder, load_text_encoder(text))
    card = SkeletonEncoderCard(
        stage="skeleton_align",
        encoder=encoder.settings,
        preprocessing=Preprocessing().to_json(),
        num_frames=8,
        split="synthetic",
        dataset="synthetic",
        seen=seen,
        text_encoder={"id": model.text_encoder.model_id, "digest": model.text_encoder.digest},
        prompt=PROMPT,
        scale=scale,
    )
    save_model(folder, model, card=card)
    return folder


def whole_run(folder, clip_folder):
    """As `--stage distill` leaves it: the student at the root, its teacher inside."""
    backbone = tiny_clip(clip_folder)
    student_run(folder, backbone=backbone)
    skeleton_run(folder / "skeleton_clip", text=backbone)
    return folder


def ntu_videos(folder, *, actions=SEEN + UNSEEN, performers=(1, 9, 10)):
    """Flat grey videos, each of its own brightness, in rgb/."""
    for action in actions:
        for performer in performers:
            frames = numbered(3, height=16, width=16) + (action * 7 + performer * 13) % 200
            write_video(folder / "rgb" / f"{clip(action, performer)}_rgb.avi", frames.astype("uint8"))
    return folder


def skeletons(folder, **clips):
    return packed_set(folder, **clips)
