"""Convert published CLIP, ViFi-CLIP, X-CLIP, Hyperformer or Shift-GCN weights into a folder for the other commands.

    python scripts/convert_clip.py --weights vifi_clip.pth --base openai/clip-vit-base-patch16 --out vifi-clip
    python scripts/convert_clip.py --weights k400_16_16.pth --base openai/clip-vit-base-patch16 --out x-clip
    python scripts/convert_clip.py --weights hyperformer_xsub.pt --out hyperformer
    python scripts/convert_clip.py --weights shift_gcn.pt --out shift_gcn

Which network it is, and of what sizes, is read from the names and shapes in the file, and every one of them has to find
its place. Nothing in the file is executed. An interrupted conversion leaves no folder behind.

The three CLIPs become a Hugging Face folder, which every --backbone takes: config, weights (safetensors, fp32), the
normalisation of frames, and --base's tokenizer. A Hyperformer or Shift-GCN for NTU's 25 joints becomes the folder of a
skeleton_pretrain run, which every --skeleton_encoder takes. It is taken for one trained on clips of 64 frames, prepared
as CTR-GCN's. The weights of Shift-GCN's authors, who have 300 frames and turn them upright, will do worse.
"""

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ski_lvlm.cli import parser, run
from ski_lvlm.storage.files import write_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPModel, XCLIPModel

    from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
    from ski_lvlm.encoders.pretrained import Normalisation
    from ski_lvlm.encoders.skeleton_encoder import ActionClassifier


def network(published: "Mapping[str, Tensor]", base: str) -> "CLIPModel | XCLIPModel":
    """Build the network that the weights belong to, with the weights in it.

    Raises:
        ValueError: the weights are not those of one network, or need a `base` that is missing.
    """
    import torch
    from transformers import CLIPModel, XCLIPModel

    from ski_lvlm.published import clip_weights as importer
    from ski_lvlm.storage.weight_files import weights_explained

    if importer.is_xclip(published):
        video_model = XCLIPModel(importer.xclip_config_of(published))
        importer.load_xclip(video_model, published)
        return video_model
    if not importer.lacks_token_embedding(published):
        model = CLIPModel(importer.clip_config_of(published))
    elif base:
        with weights_explained(base):
            model = CLIPModel.from_pretrained(base, dtype=torch.float32)
    else:
        raise ValueError(
            "the file has no token embeddings, as ViFi-CLIP's checkpoints do not; give the CLIP that was fine-tuned, "
            "for example --base openai/clip-vit-base-patch16"
        )
    importer.load_openai_clip(model, published)
    return model


def normalisation(choice: str, published: "Mapping[str, Tensor]") -> "Normalisation":
    """Return the normalisation of the user's choice, or that of the names in the file."""
    from ski_lvlm.encoders.pretrained import CLIP_NORMALISATION
    from ski_lvlm.published import clip_weights as importer

    choices = {"clip": CLIP_NORMALISATION, "imagenet": importer.IMAGENET_NORMALISATION}
    return choices[choice] if choice in choices else importer.normalisation_of(published)


def copy_tokenizer(base: str, folder: Path, *, vocabulary: int) -> None:
    """Put a CLIP's tokenizer into the folder, unless it knows more words than the network."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    if len(tokenizer) > vocabulary:
        raise ValueError(
            f"the tokenizer of --base {base} has {len(tokenizer)} words, the weights {vocabulary}; give the CLIP that "
            "they were trained from"
        )
    tokenizer.save_pretrained(folder)


def write_processor(folder: Path, normalise: "Normalisation", *, side: int) -> None:
    """Write how frames are prepared: shorter side to `side` pixels, centre crop, normalised."""
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": normalise.mean,
        "image_std": normalise.std,
    }
    write_json(folder / "preprocessor_config.json", processor)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its place on success and is removed on failure.

    Raises:
        ValueError: `out` exists and is not an empty folder.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} exists and is not an empty folder; remove it, or give another --out")
    temporary = out.resolve().with_name(f".{out.resolve().name}.{os.getpid()}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def arguments() -> argparse.ArgumentParser:
    """Build the command's flags."""
    options = parser(__doc__ or "")
    options.add_argument("--weights", type=Path, required=True, help="file of weights: .pt, .pth or .safetensors")
    options.add_argument(
        "--base",
        default="",
        help="CLIP that was fine-tuned (hub id or folder): its tokenizer is copied, and for ViFi-CLIP checkpoints, "
        "which lack them, its token embeddings. Without it, the folder serves frames, not sentences",
    )
    options.add_argument("--out", type=Path, required=True, help="folder to write")
    options.add_argument(
        "--normalisation",
        choices=["auto", "clip", "imagenet"],
        default="auto",
        help="of frames. auto: ImageNet's for X-CLIP and ViFi-CLIP checkpoints, as in their training, else CLIP's",
    )
    options.add_argument(
        "--streams", default="joint", help="of a skeleton encoder: joint, bone or velocity, as its three channels were"
    )
    options.add_argument(
        "--protocol",
        choices=("xsub", "xview", "xset"),
        default="xsub",
        help="of a skeleton encoder: whose training clips it was trained on",
    )
    return options


def convert_skeleton_encoder(args: argparse.Namespace, model: "ActionClassifier", card: "SkeletonEncoderCard") -> None:
    """Write the folder of a skeleton_pretrain run."""
    from ski_lvlm.dual_encoders.checkpoints import save_model

    with whole_folder(args.out) as folder:
        save_model(folder, model, card=card)
    parameters, encoder = sum(p.numel() for p in model.parameters()), model.encoder
    size = f"{len(encoder.strides)} blocks, width {encoder.width}"
    print(f"{args.out}: {encoder.title} ({size}), {parameters:,} parameters")
    print(f"trained on {len(card.seen)} actions of {card.split}, clips of {card.num_frames} frames, {args.streams}")


def convert_clip(args: argparse.Namespace, published: "Mapping[str, Tensor]") -> None:
    """Write a Hugging Face folder."""
    with whole_folder(args.out) as folder:
        model = network(published, args.base)
        model.save_pretrained(folder)
        config: Any = model.config
        vision = config.vision_config
        normalise = normalisation(args.normalisation, published)
        write_processor(folder, normalise, side=vision.image_size)
        if args.base:
            copy_tokenizer(args.base, folder, vocabulary=config.text_config.vocab_size)
    frames = f", {vision.num_frames} frames" if hasattr(vision, "num_frames") else ""
    size = f"{vision.num_hidden_layers} layers, patch {vision.patch_size}, side {vision.image_size}{frames}"
    print(f"{args.out}: {type(model).__name__} ({size}), {sum(p.numel() for p in model.parameters()):,} parameters")
    print(f"frames are normalised by mean {normalise.mean} and deviation {normalise.std}")
    if not args.base:
        print("no tokenizer: give --base if the folder is to encode class sentences too")


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a file of weights."""
    args = arguments().parse_args(argv)
    from ski_lvlm.published.hyperformer_weights import hyperformer_of, is_hyperformer
    from ski_lvlm.published.shift_gcn_weights import is_shift_gcn, shift_gcn_of
    from ski_lvlm.published.weights import read_published

    published = read_published(args.weights)
    training: Any = {"protocol": args.protocol, "streams": tuple(args.streams.split(","))}
    if is_hyperformer(published):
        convert_skeleton_encoder(args, *hyperformer_of(published, **training))
    elif is_shift_gcn(published):
        convert_skeleton_encoder(args, *shift_gcn_of(published, **training))
    else:
        convert_clip(args, published)
    return 0


if __name__ == "__main__":
    run(main)
