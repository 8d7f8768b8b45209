"""Answers by vLLM in a process of its own, which decodes the prompt embeddings that SKI-LVLM makes here.

vLLM begins a prompt as soon as another has its answer, while a batch of transformers waits for its longest one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from eval.describing.answering import Prompt
from eval.items.answers import Answer
from ski_lvlm.llm.answer_text import answer_text
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.parallel.line_protocol import NoAnswer, message
from ski_lvlm.parallel.worker_process import ProcessEnded, WorkerProcess
from ski_lvlm.storage.digests import digest_number

ANSWER_SECONDS = 600.0  # a process that takes longer for the next answer hangs
CLIPS_AT_ONCE = 8
_SMALLEST_CACHE = 64 << 20  # bytes; vLLM divides it into blocks of up to 128 tokens for each prompt
EMBEDDINGS = "prompt_embeds"
_WORKER = Path(__file__).with_name("vllm_worker.py")
# Entries of generation_config.json that transformers follows also where an answer is greedy, and vLLM does not.
_NOT_FOLLOWED = (
    *("no_repeat_ngram_size", "bad_words_ids", "min_length", "min_new_tokens", "suppress_tokens", "sequence_bias"),
    *("begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"),
)


class VllmEngine:
    """Answers of a SKI-LVLM whose language model runs in a process with vLLM.

    Each sample depends on the seed, the video and the question alone.

    Args:
        model: the SKI-LVLM, which embeds the prompts.
        process: a process of `vllm_worker.py`, ready to answer.
        capacity: number of prompts that are answered at the same time.
        seed: for sampling.
        generation: as for `generate` of transformers.
    """

    clips_at_once = CLIPS_AT_ONCE

    def __init__(
        self, model: SkiLvlm, process: WorkerProcess, *, capacity: int, seed: int, generation: Mapping[str, Any]
    ) -> None:
        self._model, self._process, self._capacity, self._seed = model, process, capacity, seed
        self._max_new_tokens = int(generation["max_new_tokens"])
        self._sampling = sampling_settings(model, generation)
        self._waiting: dict[int, Prompt] = {}
        self._number = 0

    def problem(self, content: Float[Tensor, "N F"], question: str) -> str | None:
        """Return the reason why a question does not fit into the language model's context, None where it does."""
        return self._model.problem(len(content), question)

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Send prompts to the process. Yield answers as soon as it has more prompts than its capacity."""
        for prompt in prompts:
            self._send(prompt)
            if len(self._waiting) > self._capacity:
                yield self._next()

    def rest(self) -> Iterator[Answer]:
        """Yield the answers to all prompts that were sent."""
        while self._waiting:
            yield self._next()

    def _send(self, prompt: Prompt) -> None:
        embeddings, _ = self._model.embed_prompts([prompt.content], [prompt.question])
        length = embeddings.shape[1]
        settings = self._sampling | {"max_tokens": self._model.prompting.room(length, self._max_new_tokens)}
        settings["seed"] = digest_number(json.dumps([self._seed, prompt.video, prompt.question]), num_bytes=7)
        self._number += 1
        self._waiting[self._number] = prompt
        payload = save({EMBEDDINGS: embeddings[0].cpu().contiguous()})
        with self._process.deadline():
            self._process.send(message(payload, id=self._number, sampling=settings))

    def _next(self) -> Answer:
        try:
            with self._process.deadline():
                reply = self._process.receive()
        except NoAnswer as error:
            prompt = self._waiting.pop(int(str(error.request)))
            return Answer(prompt.video, prompt.question, None, f"vLLM has no answer: {error}")
        except ProcessEnded as error:
            raise ValueError(
                f"{error}; the answers so far are saved, and the same command asks for the rest"
            ) from error
        prompt = self._waiting.pop(reply["id"])
        text = answer_text(reply["ids"], self._model.tokenizer, self._model.end_ids)
        return Answer(prompt.video, prompt.question, text, cut=reply["cut"])


def sampling_settings(model: SkiLvlm, generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return vLLM's sampling parameters for settings of transformers' `generate`.

    Raises:
        ValueError: the language model's generation_config.json asks for what vLLM cannot do.
    """
    defaults = model.llm.generation_config
    if foreign := {name: value for name in _NOT_FOLLOWED if (value := getattr(defaults, name, None))}:
        raise ValueError(
            f"found {foreign} in the generation_config.json of {model.config.base_llm}, which --engine vllm does not "
            "follow; expected none of them: use --engine hf"
        )
    return {
        "temperature": generation.get("temperature", 0.0) if generation.get("do_sample") else 0.0,
        "top_p": generation.get("top_p", 1.0),
        "top_k": generation.get("top_k", 0),
        "repetition_penalty": getattr(defaults, "repetition_penalty", None) or 1.0,
        "stop_token_ids": model.end_ids,
    }


def longest_prompt(model: SkiLvlm, questions: Mapping[str, Sequence[str]], *, video_tokens: int) -> int:
    """Return the length in tokens of the longest prompt that the language model can read, of these by video."""
    texts = {question for several in questions.values() for question in several}
    lengths = [len(model.prompt_ids(video_tokens, text)) for text in texts]
    context = model.prompting.context
    return max((length for length in lengths if context is None or length < context.tokens), default=1)


def cache_bytes(model: SkiLvlm, *, tokens: int) -> int:
    """Return the size in bytes of the keys and values of so many tokens, with room to spare."""
    config = model.llm.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * width * model.llm.dtype.itemsize
    return max(tokens * token * 3 // 2, _SMALLEST_CACHE)


def start_vllm(
    python: Path, model: SkiLvlm, llm: str, *, gpu: str | None, capacity: int, max_length: int, seconds: float
) -> tuple[WorkerProcess, str]:
    """Start the process with the SKI-LVLM's language model, and return it with the version of vLLM.

    `llm` is the hub id or folder of that language model, from `plain_llm`.

    `max_length` is that of the longest prompt and answer together, in tokens. An answer may take so many `seconds`.

    Raises:
        ValueError: there is no such Python, or vLLM cannot use the model.
    """
    context = model.prompting.context
    length = max_length if context is None else min(max_length, context.tokens)
    command = [str(python), str(_WORKER), "--model", llm]
    command += ["--dtype", str(model.llm.dtype).removeprefix("torch.")]
    command += ["--max_length", str(length), "--capacity", str(capacity)]
    command += ["--cache_bytes", str(cache_bytes(model, tokens=length * capacity))]
    try:
        process = WorkerProcess(command, name="the process with vLLM", gpu=gpu, seconds=seconds)
    except OSError as error:
        raise ValueError(f"--vllm_python {python}: cannot be started ({error.strerror}); {_REMEDY}") from error
    try:
        return process, str(process.wait_until_ready()["version"])
    except (NoAnswer, ProcessEnded) as error:
        process.close()
        raise ValueError(f"vLLM cannot start: {error}; {_REMEDY}") from error


_REMEDY = "make its environment anew with scripts/vllm_environment.sh, or use --engine hf"
