"""Text towers f_t and g_t: class sentences to features in the language space, by CLIP or any sentence encoder."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
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
from ski_lvlm.storage.weight_files import check_weights, weights_explained

Module = TypeVar("Module", bound=nn.Module)
CLIP_START_TEMPERATURE = 0.07  # tau that CLIP's own training starts from
DUAL_ENCODERS: dict[str, type[PreTrainedModel]] = {"clip": CLIPModel, "xclip": XCLIPModel, "siglip": SiglipModel}
MAX_SCALE = 100.0  # CLIP never divides by less than tau = 0.01
_VISION_HALF = ("vision_model", "visual_projection", "logit_scale", "logit_bias", "mit", "prompts_generator")
_X_CLIP_PROMPTS = ("prompts_visual_layernorm", "prompts_visual_projection")


class InLanguage(NamedTuple):
    """A batch in the language space: the paper's "language-contextualized features" (Sec. 3.2)."""

    z: Float[Tensor, "B D"]  # z^v or z^s, not normalised
    similarity: Float[Tensor, "B C"]  # F_LV or F_LS: cosines with the class sentences
    own_loss: Float[Tensor, ""] | None = None  # what a student adds to any loss in training (FROSTER's distillation)


class DualEncoder(Protocol):
    """What SkeletonCLIP and every student have in common."""

    def __call__(self, x: Tensor, prompts: Sequence[str]) -> InLanguage:
        """Compare clips with class sentences."""
        ...


class PretrainedError(ValueError):
    """A checkpoint does not hold the model that it is said to."""


class TextEncoderError(ValueError):
    """The text encoder cannot be used, or not on this text."""


def freeze(module: Module) -> Module:
    """Put a module into evaluation mode and keep training from changing it."""
    return module.requires_grad_(False).eval()


def log_scale(temperature: float) -> nn.Parameter:
    """What is learnt in place of a temperature: the logarithm of its inverse.

    Assumption: learnt as in CLIP; the paper only names tau.
    """
    return nn.Parameter(torch.tensor([min(-math.log(temperature), math.log(MAX_SCALE))]))  # DeepSpeed wants a dimension


def temperature_of(log_scale: Float[Tensor, " 1"]) -> Float[Tensor, ""]:
    """The temperature tau of Eq. (1), never below 0.01.

    What is learnt is brought back to the bound itself, as CLIP does after a step: clamping only its use would leave it
    without a gradient beyond.
    """
    with torch.no_grad():
        log_scale.clamp_(max=math.log(MAX_SCALE))
    return torch.exp(-log_scale.float()).squeeze()


class TextEncoder(nn.Module):
    """Sentences to features: CLIP's or SigLIP's text feature, or the mean over a sentence encoder's tokens.

    While it is frozen it stays in evaluation mode whatever its owner does, keeps the features of the last sentences it
    was asked for (class sentences hardly ever change), and stays out of its owner's state dict: a checkpoint names it
    by id and digest.

    A CLIP's attention is causal, so what follows the end of a sentence cannot change its feature: sentences are padded
    to the longest one only. SigLIP was trained on sentences padded to its full length, and gets them so.
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
        self.padding = "max_length" if isinstance(model, SiglipModel) else "longest"
        text_config = model.config.text_config if self.has_text_half else model.config
        self.width = _width(model)
        self.max_length: int = text_config.max_position_embeddings
        self.digest = weights_digest(model)
        self._last: tuple[tuple[str, ...], Tensor] | None = None
        leave_out_while_frozen(self)

    @property
    def frozen(self) -> bool:
        """Whether no weight of it is trained."""
        return is_frozen(self)

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


def is_frozen(module: nn.Module) -> bool:
    """Whether no weight of the module is trained."""
    return not any(p.requires_grad for p in module.parameters())


def leave_out_while_frozen(tower: Any, *, pretrained: bool = True) -> None:  # noqa: ANN401
    """Keep a tower out of its owner's state dict, and its weights from being missed there, as long as it is frozen.

    One whose weights came with a state dict is not what a model hub has: it stays in, frozen or not. So does one that
    was never `pretrained` as a whole.
    """
    tower.pretrained = pretrained
    tower.register_state_dict_post_hook(_leave_out_frozen)
    tower.register_load_state_dict_pre_hook(_note_own_weights)
    tower.register_load_state_dict_post_hook(_do_not_miss_frozen)


def is_left_out(tower: Any) -> bool:  # noqa: ANN401
    """Whether state dicts leave the tower out, so that it has to be named."""
    return is_frozen(tower) and tower.pretrained


def _leave_out_frozen(tower: nn.Module, state: dict[str, Tensor], prefix: str, _: dict[str, object]) -> None:
    if is_left_out(tower):
        for name in [name for name in state if name.startswith(prefix)]:
            del state[name]


def _note_own_weights(tower: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:  # noqa: ANN401
    if any(name.startswith(prefix) for name in state):
        tower.pretrained = False


def _do_not_miss_frozen(module: nn.Module, incompatible: Any) -> None:  # noqa: ANN401
    if is_frozen(module):
        own = {name for name, _ in module.named_parameters()} | {name for name, _ in module.named_buffers()}
        missing: list[str] = incompatible.missing_keys
        missing[:] = [name for name in missing if not any(name.endswith(f".{mine}") for mine in own)]


def load_whole(architecture: Any, path: str, *, unused: tuple[str, ...] = (), may_hold_more: bool = False) -> Any:  # noqa: ANN401
    """A pretrained model in fp32 with every weight from its checkpoint, whose own precision may be lower.

    Weights whose names begin with `unused` may be missing; with `may_hold_more` others may be left over.

    Raises:
        PretrainedError: weights are missing or left over; all are listed.
    """
    with weights_explained(path):
        model, report = architecture.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(unused or "\0"))
    left = [] if may_hold_more else sorted(report["unexpected_keys"])
    if missing or left:
        raise PretrainedError(
            f"{path} does not hold a whole {type(model).__name__}: missing {missing or 'nothing'}, left over "
            f"{left or 'nothing'}; download it again, or convert it with scripts/convert_clip.py"
        )
    return model


def load_text_encoder(model_id: str) -> TextEncoder:
    """Load a frozen text encoder: a CLIP, X-CLIP or SigLIP (hub id or folder), or a sentence encoder such as `minilm`.

    Raises:
        TextEncoderError: the model is none of them.
        PretrainedError: the checkpoint lacks weights.
    """
    path = resolve_model(model_id)
    check_weights(Path(path))
    config = AutoConfig.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if config.model_type in DUAL_ENCODERS:
        model: Any = load_whole(DUAL_ENCODERS[config.model_type], path)
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
