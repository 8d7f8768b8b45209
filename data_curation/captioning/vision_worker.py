"""A process with one vision-language model that answers requests, one line of JSON each, until its input ends.

  PYTHON data_curation/captioning/vision_worker.py --kind hf --model HuggingFaceTB/SmolVLM-Instruct

`vision_pool.py` starts one for each GPU. PYTHON may belong to another environment, so this file imports only the
standard library, torch, transformers and Pillow. Output of libraries goes to stderr. When its input ends, for any
reason, the process ends at once.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of this folder
from data_curation.captioning import vision_models
from data_curation.captioning.vision_protocol import VlmAnswer, VlmRequest, read_request
from ski_lvlm.parallel.line_protocol import error_line, line, private_pipes, request_queue

if TYPE_CHECKING:
    from PIL.Image import Image

_TRIAL_TOKENS = 2  # an environment that does not match its model fails at the first or the second


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--kind", choices=("cogvlm", "hf"), required=True, help="way to load and prompt the model")
    flags.add_argument("--model", required=True, help="hub id or local folder")
    flags.add_argument("--tokenizer", help="hub id or local folder of cogvlm's tokenizer")
    flags.add_argument("--revision", help="commit of the model")
    flags.add_argument("--trust_remote_code", action="store_true", help="run the code of the model's repository")
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model, try it once, then answer. Returns 2 if the model cannot be used."""
    args = arguments(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent process
    lines, replies = private_pipes()
    requests = request_queue(lambda: lines.readline() or None)
    try:
        vlm = _load(args)
        _answer(vlm, VlmRequest(0, "Describe the picture.", (_grey(),), _TRIAL_TOKENS))
    except (ValueError, OSError, ImportError) as error:
        replies.write(error_line(error))
        return 2
    replies.write(line(ready=True, commit=vlm.commit))
    while True:
        request = read_request(requests.get().decode())
        try:
            reply = line(id=request.id, **_answer(vlm, request)._asdict())
        except (ValueError, OSError) as error:  # others, such as a GPU error, end the process
            reply = error_line(error, id=request.id)
        replies.write(reply)


def _load(args: argparse.Namespace) -> vision_models.LoadedVlm:
    if args.kind == "hf":
        return vision_models.load_image_text(
            args.model, trust_remote_code=args.trust_remote_code, revision=args.revision
        )
    return vision_models.load_cogvlm(
        args.model,
        tokenizer_id=args.tokenizer or args.model,
        trust_remote_code=args.trust_remote_code,
        revision=args.revision,
    )


def _answer(vlm: vision_models.LoadedVlm, request: VlmRequest) -> VlmAnswer:
    return vlm.describe(request.prompt, [_picture(data) for data in request.pictures], request.max_tokens)


def _picture(data: bytes) -> "Image":
    from PIL import Image

    with Image.open(BytesIO(data)) as picture:
        return picture.convert("RGB")


def _grey() -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (224, 224), (127, 127, 127)).save(file, format="PNG")
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
