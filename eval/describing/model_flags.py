"""Flags for models that are not of this repository: `hf:ID` of transformers, `openai:MODEL` behind a server."""

import argparse

FRAMES = {"hf:": 16, "openai:": 8}  # by the beginning of a model's name
SIDE = 448  # pixels


def other_kind(model: str | None) -> str | None:
    """Return the beginning that names the kind of a model, None for a folder.

    >>> other_kind("hf:Qwen/Qwen2.5-VL-7B-Instruct"), other_kind("runs/lvlm")
    ('hf:', None)
    """
    return next((kind for kind in FRAMES if (model or "").startswith(kind)), None)


def add_other_model_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags for these models alone."""
    p.add_argument("--base_url", help="address of the server of --model openai:MODEL (default: OPENAI_BASE_URL)")
    p.add_argument(
        "--frame_side",
        type=int,
        help=f"longer side in pixels of frames for hf: and openai: (default: {SIDE}, 0: full size)",
    )


def take_frames(p: argparse.ArgumentParser, args: argparse.Namespace) -> int | None:
    """Refuse flags that do not fit the kind of model. Return the frames that one of these is shown, else None."""
    kind = other_kind(args.model)
    if args.base_url and kind != "openai:":
        p.error("--base_url: only for --model openai:MODEL")
    if kind is None:
        if args.frame_side is not None:
            p.error("--frame_side: only for --model hf:ID and openai:MODEL")
        return None
    if args.features or args.engine == "vllm":
        flag = "--features" if args.features else "--engine vllm"
        p.error(f"{flag}: only for a SKI-LVLM, since {args.model} looks at videos in its own way")
    if kind == "openai:" and args.top_p != 1:
        p.error(f"--top_p {args.top_p}: the server's own is used; expected no such flag beside --model openai:MODEL")
    frames = FRAMES[kind] if args.num_frames is None else int(args.num_frames)
    args.num_frames = None  # it belongs to no baseline
    args.frame_side = SIDE if args.frame_side is None else args.frame_side
    return frames
