"""A process with vLLM that decodes prompt embeddings until its input ends.

    PYTHON eval/describing/vllm_worker.py --model DIR --dtype bfloat16 --max_length 2048 --capacity 64 --cache_bytes N

`vllm_engine.py` starts it. PYTHON belongs to another environment (scripts/vllm_environment.sh), so this file imports
only the standard library, vLLM, and torch and safetensors, which come with it. A request has one tensor, the embeddings
of its prompt, as safetensors. Output of libraries goes to stderr. When its input ends, the process ends at once.
"""

import argparse
import os
import queue
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of this folder
from ski_lvlm.parallel.line_protocol import error_line, line, private_pipes, read_message, request_queue

Request = tuple[dict[str, Any], bytes]
_EMBEDDINGS = "prompt_embeds"  # as vLLM calls them
MEMORY_SHARE = 0.8  # of the GPU, where the vision tower needs its part
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, which ends with its input
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the parent shares the cores
}
CPU_CACHE = 4 << 30  # bytes of keys and values at most, where there is no GPU


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--model", required=True, help="hub id or local folder of the language model")
    flags.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), required=True, help="of weights")
    flags.add_argument("--max_length", type=int, required=True, help="tokens of the longest prompt with its answer")
    flags.add_argument("--capacity", type=int, required=True, help="prompts that are answered at the same time")
    flags.add_argument("--cache_bytes", type=int, required=True, help="size of the keys and values of all these tokens")
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model, then answer. Returns 2 if the model cannot be used."""
    args = arguments(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent process
    stream, replies = private_pipes()
    requests = request_queue(lambda: read_message(stream))
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        engine = Decoder(args)
        engine.try_once()
    except (ValueError, OSError, ImportError) as error:
        replies.write(error_line(error))
        return 2
    replies.write(line(ready=True, version=engine.version))
    while True:
        for fields, payload in waiting(requests, blocks=engine.is_idle):
            try:
                engine.add(fields, payload)
            except ValueError as error:  # others, such as a GPU error, end the process
                replies.write(error_line(error, id=fields["id"]))
        for number, ids, is_cut in engine.step():
            replies.write(line(id=number, ids=ids, cut=is_cut))


def waiting(requests: "queue.SimpleQueue[Request]", *, blocks: bool) -> Iterator[Request]:
    """Yield all requests that have come. With `blocks`, wait for the first."""
    if blocks:
        yield requests.get()
    while not requests.empty():
        yield requests.get()


class Decoder:
    """vLLM's engine, step by step.

    Raises:
        ValueError: vLLM does not know the model.
        ImportError: vLLM is not installed.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        import torch
        import vllm
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        self.version: str = vllm.__version__
        has_gpu = torch.cuda.is_available()
        self._engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=args.model,
                dtype=args.dtype,
                max_model_len=args.max_length,
                max_num_seqs=args.capacity,
                enable_prompt_embeds=True,
                skip_tokenizer_init=True,  # token ids come and go
                generation_config="vllm",  # no settings but those of each request
                gpu_memory_utilization=MEMORY_SHARE,
                kv_cache_memory_bytes=None if has_gpu else min(CPU_CACHE, args.cache_bytes),
                enforce_eager=not has_gpu,  # to compile for a CPU takes longer than it saves
            )
        )

    @property
    def is_idle(self) -> bool:
        """Return whether no prompt is being answered."""
        return not self._engine.has_unfinished_requests()

    def try_once(self) -> None:
        """Answer an empty prompt, since some models load and cannot answer."""
        import torch

        width = self._engine.model_config.get_hidden_size()
        params = self._parameters(temperature=0.0, max_tokens=2)
        self._engine.add_request("0", {_EMBEDDINGS: torch.zeros(1, width)}, params)
        while not self.is_idle:
            self._engine.step()

    def add(self, fields: dict[str, Any], payload: bytes) -> None:
        """Begin a prompt.

        Raises:
            ValueError: vLLM refuses it.
        """
        from safetensors.torch import load

        self._engine.add_request(str(fields["id"]), load(payload), self._parameters(**fields["sampling"]))

    def _parameters(self, **sampling: Any) -> Any:  # noqa: ANN401
        from vllm import SamplingParams

        # the end tokens of the request are the only ones, and its text is made by the parent
        return SamplingParams(**sampling, ignore_eos=True, detokenize=False)

    def step(self) -> Iterator[tuple[int, list[int], bool]]:
        """Make one more token of each answer. Yield id, token ids and whether it was cut for those that ended."""
        if self.is_idle:
            return
        for output in self._engine.step():
            if output.finished:
                (completion,) = output.outputs
                yield int(output.request_id), list(completion.token_ids), completion.finish_reason == "length"


if __name__ == "__main__":
    sys.exit(main())
