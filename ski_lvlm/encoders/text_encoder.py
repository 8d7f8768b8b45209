"""Text encoders f_t and g_t: class sentences to features in the language space, by CLIP or any sentence encoder."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    CLIPModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipModel,
    XCLIPModel,
)

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.offline import resolve_model
from ski_lvlm.encoders.pretrained import PretrainedTower, freeze, load_whole
from ski_lvlm.storage.weight_files import check_weights

CLIP_START_TEMPERATURE = 0.07  # tau that CLIP's own training starts from
TWO_TOWERS: dict[str, type[PreTrainedModel]] = {"clip": CLIPModel, "xclip": XCLIPModel, "siglip": SiglipModel}
_VISION_HALF = ("vision_model", "visual_projection", "logit_scale", "logit_bias", "mit", "prompts_generator")
_X_CLIP_PROMPTS = ("prompts_visual_layernorm", "prompts_visual_projection")


class TextEncoderError(ValueError):
    """A text encoder that cannot be used, or not on this text."""


class TextEncoder(PretrainedTower):
    """Sentences to features: CLIP's or SigLIP's text feature, or the mean over a sentence encoder's tokens.

    Frozen, it caches the features of the last sentences it was asked for: class sentences hardly ever change.
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
        self.has_text_half = isinstance(model, CLIPModel | XCLIPModel | SiglipModel)
        # A CLIP's attention is causal, so padding behind a sentence cannot change its feature. SigLIP was trained on
        # sentences padded to its full length.
        self.padding = "max_length" if isinstance(model, SiglipModel) else "longest"
        text_config = model.config.text_config if self.has_text_half else model.config
        self.width = _width(model)
        self.max_length: int = text_config.max_position_embeddings
        self.digest = weights_digest(model)
        self._last: tuple[tuple[str, ...], Tensor] | None = None

    def forward(self, prompts: Sequence[str]) -> Float[Tensor, "C D"]:
        """Return the sentences' features, not normalised.

        Raises:
            TextEncoderError: a sentence is longer than the encoder reads.
        """
        if not self.is_frozen:
            return self._encode(prompts)
        if self._last is None or self._last[0] != tuple(prompts):
            with torch.no_grad():
                self._last = tuple(prompts), self._encode(prompts)
        return self._last[1].to(next(self.parameters()).device)

    def _encode(self, prompts: Sequence[str]) -> Float[Tensor, "C D"]:
        tokens = self.tokenizer(
            list(prompts), padding=self.padding, max_length=self.max_length, return_attention_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        tokens = tokens.to(next(self.parameters()).device)
        lengths = tokens["attention_mask"].sum(-1)
        if tokens["input_ids"].shape[1] > self.max_length:
            raise TextEncoderError(
                f"{prompts[int(lengths.argmax())]!r} has {int(lengths.max())} tokens, but {self.model_id} reads at "
                f"most {self.max_length}; shorten the class name or the prompt template"
            )
        if isinstance(self.model, SiglipModel):
            return self.model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
        if self.has_text_half:
            return self.model.get_text_features(**tokens).pooler_output  # type: ignore[operator]
        hidden, mask = self.model(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
        return (hidden * mask).sum(1) / mask.sum(1)


def _width(model: PreTrainedModel) -> int:
    if isinstance(model, SiglipModel):
        return model.text_model.head.out_features
    config: Any = model.config
    width: int = config.projection_dim if isinstance(model, CLIPModel | XCLIPModel) else config.hidden_size
    return width


def load_text_encoder(model_id: str) -> TextEncoder:
    """Load a frozen text encoder: a CLIP, X-CLIP, SigLIP or sentence encoder.

    Args:
        model_id: hub id, folder, or an offline name such as `minilm`.

    Raises:
        TextEncoderError: the model is of another kind.
        ValueError: the checkpoint lacks weights.
    """
    path = resolve_model(model_id)
    check_weights(Path(path))
    config = AutoConfig.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if config.model_type in TWO_TOWERS:
        model: Any = load_whole(TWO_TOWERS[config.model_type], path)
        temperature = math.exp(-model.logit_scale.item())
        for name in (*_VISION_HALF, *_X_CLIP_PROMPTS):  # the text tower is all that is used
            if hasattr(model, name):
                delattr(model, name)
        return freeze(TextEncoder(model, tokenizer, model_id=model_id, temperature=temperature))
    if hasattr(config, "text_config") or not hasattr(config, "hidden_size"):
        raise TextEncoderError(
            f"{model_id} is a {config.model_type} model; expected a CLIP or a sentence encoder with one width "
            "(hidden_size), such as openai/clip-vit-base-patch16 or minilm"
        )
    model = load_whole(AutoModel, path, unused=("pooler.",), may_hold_more=True)
    model.pooler = None  # the mean over the tokens is used; a layer without gradients would trouble DDP
    return freeze(TextEncoder(model, tokenizer, model_id=model_id))
