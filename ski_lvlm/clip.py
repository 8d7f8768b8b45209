"""Text towers f_t and g_t: class sentences to features in the language space, by CLIP or any sentence encoder."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPModel, PreTrainedModel, PreTrainedTokenizerBase

from ski_lvlm.digest import weights_digest
from ski_lvlm.offline import resolve_model

Module = TypeVar("Module", bound=nn.Module)
CLIP_START_TEMPERATURE = 0.07  # tau that CLIP's own training starts from


class InLanguage(NamedTuple):
    """A batch in the language space: the paper's "language-contextualized features" (Sec. 3.2)."""

    z: Float[Tensor, "B D"]  # z^v or z^s, not normalised
    similarity: Float[Tensor, "B C"]  # F_LV or F_LS: cosines with the class sentences


class DualEncoder(Protocol):
    """What SkeletonCLIP and every student have in common."""

    def __call__(self, x: Tensor, prompts: Sequence[str]) -> InLanguage:
        """Compare clips with class sentences."""
        ...


class TextEncoderError(ValueError):
    """The text encoder cannot be used, or not on this text."""


def freeze(module: Module) -> Module:
    """Put a module into evaluation mode and keep training from changing it."""
    return module.requires_grad_(False).eval()


class TextEncoder(nn.Module):
    """Sentences to features: CLIP's projected text token, or the mean over a sentence encoder's tokens.

    While it is frozen it stays in evaluation mode whatever its owner does, keeps the features of the last sentences it
    was asked for (class sentences hardly ever change), and stays out of its owner's state dict: a checkpoint names it
    by id and digest.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        model_id: str,
        temperature: float = CLIP_START_TEMPERATURE,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.model_id, self.temperature = model_id, temperature
        self.is_clip = isinstance(model, CLIPModel)
        self.width: int = model.config.projection_dim if self.is_clip else model.config.hidden_size
        text_config = model.config.text_config if self.is_clip else model.config
        self.max_length: int = text_config.max_position_embeddings
        self.digest = weights_digest(model)
        self._last: tuple[tuple[str, ...], Tensor] | None = None
        self.register_state_dict_post_hook(_leave_out_frozen)
        self.register_load_state_dict_post_hook(_do_not_miss_frozen)

    @property
    def frozen(self) -> bool:
        """Whether no weight of it is trained."""
        return not any(p.requires_grad for p in self.parameters())

    def train(self, mode: bool = True) -> "TextEncoder":
        """Training mode, unless frozen."""
        return super().train(mode and not self.frozen)

    def forward(self, prompts: Sequence[str]) -> Float[Tensor, "C D"]:
        """Features of the sentences, not normalised.

        Raises:
            TextEncoderError: a sentence is longer than the encoder reads.
        """
        if not self.frozen:
            return self._encode(prompts)
        if self._last is None or self._last[0] != tuple(prompts):
            with torch.no_grad():
                self._last = tuple(prompts), self._encode(prompts)
        return self._last[1].to(next(self.parameters()).device)

    def _encode(self, prompts: Sequence[str]) -> Float[Tensor, "C D"]:
        tokens = self.tokenizer(list(prompts), padding="longest", return_tensors="pt")
        tokens = tokens.to(next(self.parameters()).device)
        lengths = tokens["attention_mask"].sum(-1)
        if lengths.max() > self.max_length:
            raise TextEncoderError(
                f"{prompts[int(lengths.argmax())]!r} has {int(lengths.max())} tokens, but {self.model_id} reads at "
                f"most {self.max_length}; shorten the class name or the prompt template"
            )
        if self.is_clip:
            return self.model.get_text_features(**tokens).pooler_output  # type: ignore[operator]
        hidden, mask = self.model(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
        return (hidden * mask).sum(1) / mask.sum(1)


def _leave_out_frozen(module: nn.Module, state: dict[str, Tensor], prefix: str, _: dict[str, object]) -> None:
    if isinstance(module, TextEncoder) and module.frozen:
        for name in [name for name in state if name.startswith(prefix)]:
            del state[name]


def _do_not_miss_frozen(module: nn.Module, incompatible: Any) -> None:  # noqa: ANN401
    if isinstance(module, TextEncoder) and module.frozen:
        own = {name for name, _ in module.named_parameters()} | {name for name, _ in module.named_buffers()}
        missing: list[str] = incompatible.missing_keys
        missing[:] = [name for name in missing if not any(name.endswith(f".{mine}") for mine in own)]


def load_text_encoder(model_id: str) -> TextEncoder:
    """Load a frozen text encoder: a CLIP (hub id or folder), or any sentence encoder such as the offline `minilm`.

    Raises:
        TextEncoderError: the model is neither.
    """
    path = resolve_model(model_id)
    config = AutoConfig.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if config.model_type == "clip":
        model = CLIPModel.from_pretrained(path)
        temperature = math.exp(-model.logit_scale.item())
        del model.vision_model, model.visual_projection, model.logit_scale  # the text tower is all that is used
        return freeze(TextEncoder(model, tokenizer, model_id=model_id, temperature=temperature))
    if hasattr(config, "text_config") or not hasattr(config, "hidden_size"):
        raise TextEncoderError(
            f"{model_id} is a {config.model_type} model; expected a CLIP or a sentence encoder with one width "
            "(hidden_size), such as openai/clip-vit-base-patch16 or minilm"
        )
    return freeze(TextEncoder(AutoModel.from_pretrained(path), tokenizer, model_id=model_id))
