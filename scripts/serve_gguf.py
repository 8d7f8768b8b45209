"""Serve a GGUF file of a language model by OpenAI's protocol on this machine, with llama.cpp in this process.

    python scripts/serve_gguf.py model.gguf --port 8080
    python eval/score.py --judge openai:model --base_url http://127.0.0.1:8080/v1 --score expected …

It needs the package xllamacpp of requirements-dev.txt, runs on a CPU, and ends with Ctrl-C.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ski_lvlm.cli import expect_at_least, parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    flags = parser(__doc__ or "")
    flags.add_argument("model", type=Path, help="the .gguf file")
    flags.add_argument("--port", type=int, default=8080, help="port of the loopback, 0 for a free one")
    flags.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    flags.add_argument("--context", type=int, default=4096, help="tokens of the question and its answer")
    flags.add_argument("--parallel", type=int, default=1, help="questions at a time, which share the context")
    args = flags.parse_args(argv)
    expect_at_least(flags, args, port=0, threads=1, context=1, parallel=1)
    if not args.model.is_file():
        raise ValueError(f"found no file {args.model}; expected a .gguf file of a language model")
    sizes = {"context": args.context, "parallel": args.parallel, "threads": args.threads}
    server = serve(args.model, port=args.port, **sizes)
    print(f"{args.model.name} answers at {server.listening_address}/v1, end with Ctrl-C", flush=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    return 0


def serve(model: Path, *, port: int, context: int, parallel: int, threads: int) -> Any:  # noqa: ANN401
    """Return llama.cpp's server on the loopback, which answers as long as it is held.

    Raises:
        ValueError: its package is not installed.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise ValueError(
            "found no xllamacpp, expected the package with llama.cpp's server; run: python -m pip install -r "
            "requirements-dev.txt"
        ) from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port, parameters.n_ctx, parameters.n_parallel = port, context, parallel
    parameters.cpuparams.n_threads = threads
    parameters.verbosity = -1
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    run(main)
