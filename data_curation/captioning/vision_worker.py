"""A process that holds one vision-language model and answers requests, a line of JSON each, until its input ends.

  PYTHON data_curation/captioning/vision_worker.py --kind hf --model HuggingFaceTB/SmolVLM-Instruct

`vision_pool.py` starts one for each GPU. PYTHON may be another environment's, so only the standard library, torch,
transformers and Pillow are imported here. What libraries print goes to stderr. Whoever started it is the only reason
for it to live: when its input ends, however that happened, it ends at once, whatever it is doing.
"""

import argparse
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of this folder, whose files are no libraries
from data_curation.captioning import vision_models
from data_curation.captioning.vision_protocol import Request, Said, error_line, line, read_request

if TYPE_CHECKING:
    from PIL.Image import Image

_TRIAL_TOKENS = 2  # an environment that does not fit its model fails at the first or the second


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--kind", choices=("cogvlm", "hf"), required=True, help="how the model is loaded and asked")
    flags.add_argument("--model", required=True, help="hub id or local folder")
    flags.add_argument("--tokenizer", help="hub id or local folder of cogvlm's tokenizer")
    flags.add_argument("--revision", help="commit of the model")
    flags.add_argument("--trust_remote_code", action="store_true", help="run the code of the model's repository")
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Load, try once, then answer; 2 if the model cannot be used."""
    args = arguments(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started this process
    lines, replies = _own_pipes()
    requests = _until_the_end(lines)
    try:
        look = _load(args)
        _answer(look, Request(0, "Describe the picture.", (_grey(),), _TRIAL_TOKENS))
    except (ValueError, OSError, ImportError) as error:
        replies.write(error_line(error))
        return 2
    replies.write(line(ready=True, commit=look.commit))
    while True:
        request = read_request(requests.get())
        try:
            reply = line(id=request.id, **_answer(look, request)._asdict())
        except (ValueError, OSError) as error:  # others, a GPU that is out of order for one, end the process
            reply = error_line(error, id=request.id)
        replies.write(reply)


def _own_pipes() -> tuple[TextIO, TextIO]:
    """Where requests come from and replies go, by descriptors that no library knows of; 0 and 1 are harmless then."""
    lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a question to the user finds nobody
    os.dup2(2, 1)
    return lines, replies


def _until_the_end(lines: TextIO) -> "queue.SimpleQueue[str]":
    """Requests as they come. They are read beside the work, so that their end is noticed during it."""
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for text in lines:
            requests.put(text)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return requests


def _load(args: argparse.Namespace) -> vision_models.Look:
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


def _answer(look: vision_models.Look, request: Request) -> Said:
    return look.at(request.prompt, [_picture(data) for data in request.pictures], request.max_tokens)


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
