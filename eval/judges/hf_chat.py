"""Chat with a language model in this process: from the Hugging Face hub, a folder or a GGUF file."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ski_lvlm.servers.client import ChatRequest, Message, ModelInfo, Refused, Reply, Stopped

if TYPE_CHECKING:
    from transformers import BatchEncoding

    from ski_lvlm.llm.chat_template import ChatTemplate
    from ski_lvlm.llm.limits import Context
    from ski_lvlm.llm.loading import Llm


class HfChat:
    """A causal LM with its chat template, which answers one question at a time on the GPU or CPU.

    The weights are loaded at the first use. A JSON schema is not enforced, so parse the answer with care.

    Args:
        model: hub id, folder, .gguf file, or an offline short name (`ski_lvlm.encoders.offline`).
    """

    def __init__(self, model: str) -> None:
        self.name, self._model = f"hf:{model}", model
        self.server: str | None = None
        self._stopped = False
        self._lock = threading.Lock()  # for the model and the random state

    def ping(self, probe: ChatRequest | None = None) -> ModelInfo:
        """Load the weights and return their digest, without a question.

        Raises:
            ValueError: they cannot be loaded, or the tokenizer has no usable chat template.
        """
        with self._lock:
            return self._info

    def stop(self) -> None:
        """Start no further answer. The current one is finished."""
        self._stopped = True

    def chat(self, request: ChatRequest, *, before: Callable[[], object] = lambda: None) -> Reply:
        """Answer, greedily at temperature 0. `before` is called before the question waits for its turn.

        Raises:
            Stopped: `stop` was called before.
            Refused: prompt and answer do not fit into the model's context, or generation failed.
        """
        import torch

        from ski_lvlm.llm.answer_text import reply_text
        from ski_lvlm.llm.chat_template import ChatTemplateError

        before()
        start = time.monotonic()
        with self._lock, torch.random.fork_rng(), torch.inference_mode():
            if self._stopped:
                raise Stopped(f"{self.name} was not asked: told to stop")
            tokenizer, ends = self._llm.tokenizer, self._ends
            try:
                prompt = self._prompt(request.messages)
            except ChatTemplateError as error:
                raise Refused(str(error)) from error
            length = prompt["input_ids"].shape[1]
            if (context := self._context) is not None and length + request.max_tokens > context.tokens:
                raise Refused(
                    f"{self.name} reads {context.tokens} tokens ({context.source}); found {length} and up to "
                    f"{request.max_tokens} to be written"
                )
            torch.manual_seed(request.seed)
            try:
                ids, first_token = self._generate(prompt, request)
            except RuntimeError as error:  # out of memory or NaN, which may concern this question alone
                raise Refused(f"{self.name} could not answer ({type(error).__name__}: {str(error)[:200]})") from error
        return Reply(
            text=reply_text(ids, tokenizer, ends),
            prompt_tokens=length,
            completion_tokens=len(ids),
            seconds=time.monotonic() - start,
            cut=len(ids) == request.max_tokens and ids[-1] not in ends,
            first_token=first_token,
        )

    def _generate(
        self, prompt: "BatchEncoding", request: ChatRequest
    ) -> tuple[list[int], tuple[tuple[str, float], ...] | None]:
        """Return the answer's ids, and the candidates with their probabilities where some are wanted."""
        from ski_lvlm.llm.candidate_tokens import candidate_probabilities
        from ski_lvlm.llm.limits import pad_id

        model: Any = self._llm.model
        sampled = {"do_sample": True, "temperature": float(request.temperature), "top_p": 1.0, "top_k": 0}
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        result = model.generate(
            **prompt.to(model.device),
            **(sampled if request.temperature > 0 else greedy),
            max_new_tokens=request.max_tokens,
            pad_token_id=pad_id(self._llm.tokenizer),
            eos_token_id=self._ends or None,
            output_logits=bool(request.candidates),  # as they are before temperature
            return_dict_in_generate=True,
        )
        ids = result.sequences[0, prompt["input_ids"].shape[1] :].tolist()
        if not request.candidates:
            return ids, None
        return ids, candidate_probabilities(result.logits[0][0], self._llm.tokenizer, request.candidates)

    @cached_property
    def _info(self) -> ModelInfo:
        from ski_lvlm.encoders.digest import weights_digest

        model = self._llm.model
        self._prompt([Message("Rules.", role="system"), Message("A question?")])
        return ModelInfo(self.name, weights_digest(model), str(model.dtype).removeprefix("torch."))

    @cached_property
    def _llm(self) -> "Llm":
        import torch

        from ski_lvlm.llm.loading import load_llm, native_bf16

        llm = load_llm(self._model, dtype=torch.bfloat16 if native_bf16() else torch.float32)
        if not llm.tokenizer.chat_template:
            raise ValueError(f"{self.name} has no chat template; choose a model that was tuned to follow instructions")
        if torch.cuda.is_available():
            torch.nn.Module.to(llm.model, "cuda")
        return llm

    @cached_property
    def _template(self) -> "ChatTemplate":
        from ski_lvlm.llm.chat_template import ChatTemplate

        return ChatTemplate(self._llm.tokenizer)

    @cached_property
    def _ends(self) -> list[int]:
        settings: Any = self._llm.model.generation_config
        return self._template.end_ids(settings.eos_token_id)

    @cached_property
    def _context(self) -> "Context | None":
        from ski_lvlm.llm.limits import context_of

        return context_of(self._llm.model.config, self._llm.tokenizer)

    def _prompt(self, messages: Sequence[Message]) -> "BatchEncoding":
        """Return the messages as token ids of shape [1 L]. Template marks inside a message are plain text."""
        import torch
        from transformers import BatchEncoding

        from ski_lvlm.datasets.instruction_file import Turn
        from ski_lvlm.llm.conversation import prompt_ids
        from ski_lvlm.llm.limits import check_ids

        ids = prompt_ids([Turn(message.role, message.text) for message in messages], self._template)
        check_ids(ids, *self._llm)
        input_ids = torch.tensor([ids])
        return BatchEncoding({"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)})
