"""A stand-in for vLLM's engine, which answers the prompt that came last, one at each step, with arbitrary tokens.

With `VLLM_DOUBLE` "model", transformers decodes the answers, and the first prompt waits until there are two. Other
values make it misbehave: "absent", "refuses N" (prompts of N tokens), "dies N" or "hangs N" (after N answers).
"""

import hashlib
import os
import random
import sys
import threading
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

fault, _, number = os.environ.get("VLLM_DOUBLE", "").partition(" ")
if fault == "absent":
    raise ImportError("no vLLM for this machine")
__version__ = "double"


@dataclass
class SamplingParams:
    temperature: float
    max_tokens: int
    ignore_eos: bool
    detokenize: bool
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop_token_ids: list = field(default_factory=list)
    seed: int | None = None


@dataclass
class EngineArgs:
    model: str
    dtype: str
    max_model_len: int
    max_num_seqs: int
    enable_prompt_embeds: bool
    skip_tokenizer_init: bool
    generation_config: str
    gpu_memory_utilization: float
    kv_cache_memory_bytes: int
    enforce_eager: bool


@dataclass
class LLMEngine:
    args: EngineArgs
    requests: dict = field(default_factory=dict)
    answers: int = 0

    @classmethod
    def from_engine_args(cls, args):
        engine = cls(args)
        if fault == "model":
            from transformers import AutoModelForCausalLM

            engine.llm = AutoModelForCausalLM.from_pretrained(args.model, dtype=args.dtype)
        sys.stdout.write("a library prints what is no reply\n")
        return engine

    @property
    def model_config(self):
        return SimpleNamespace(get_hidden_size=lambda: 32)

    def has_unfinished_requests(self):
        return bool(self.requests)

    def add_request(self, request_id, prompt, params):
        length = len(prompt["prompt_embeds"])
        if fault == "refuses" and length == int(number):
            raise ValueError(f"prompt of {length} tokens\nrefused")
        assert length + params.max_tokens <= self.args.max_model_len
        assert params.ignore_eos and not params.detokenize
        self.requests[request_id] = (prompt["prompt_embeds"], params)

    def step(self):
        if fault == "dies" and "0" not in self.requests and self.answers == int(number):
            sys.stderr.write("out of memory\n")
            os._exit(3)
        if fault == "hangs" and "0" not in self.requests and self.answers == int(number):
            threading.Event().wait()
        if fault == "model" and not self.answers and "0" not in self.requests and len(self.requests) < 2:
            return []  # so that answers are out of order, whatever the clock
        self.answers += "0" not in self.requests  # which is the trial
        request_id, (embeddings, params) = self.requests.popitem()
        ids = self.decode(embeddings, params) if fault == "model" else arbitrary(embeddings, params)
        reason = "stop" if ids[-1] in params.stop_token_ids else "length"
        answer = SimpleNamespace(token_ids=ids, finish_reason=reason)
        return [SimpleNamespace(request_id=request_id, finished=True, outputs=[answer])]

    def decode(self, embeddings, params):
        import torch

        assert not params.temperature
        return self.llm.generate(
            inputs_embeds=embeddings[None],
            attention_mask=torch.ones(1, len(embeddings), dtype=torch.long),
            max_new_tokens=params.max_tokens,
            eos_token_id=params.stop_token_ids or None,
            do_sample=False,
        )[0].tolist()


def arbitrary(embeddings, params):
    """Return tokens that depend on the prompt, and where they are sampled on the seed."""
    prompt = hashlib.sha256(embeddings.float().numpy().tobytes()).hexdigest()
    dice = random.Random(f"{prompt} {params.seed if params.temperature else ''}")
    return [dice.randrange(10, 90) for _ in range(params.max_tokens)]


for name, content in (("engine.arg_utils", EngineArgs), ("v1.engine.llm_engine", LLMEngine)):
    module = ModuleType(f"vllm.{name}")
    setattr(module, content.__name__, content)
    sys.modules[module.__name__] = module
    for parent in ("engine", "v1", "v1.engine"):
        sys.modules.setdefault(f"vllm.{parent}", ModuleType(f"vllm.{parent}"))
