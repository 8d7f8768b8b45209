"""SKI-LVLM: projected video and skeleton tokens in front of a frozen language model.

Only the projectors are trained and saved. Inference takes a video and a question; there is no skeleton argument.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutput

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.vision_tower import VisionTower, load_vision_tower
from ski_lvlm.llm.answer_text import answer_text
from ski_lvlm.llm.chat_template import DATE
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.llm.loading import Llm, load_llm
from ski_lvlm.llm.prompting import Prompting
from ski_lvlm.lvlm.projector import Projector, Statistics
from ski_lvlm.lvlm.samples import left_padded
from ski_lvlm.lvlm.splice import delimit, splice, trained_positions
from ski_lvlm.parallel.partitioned import gathered
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.weight_files import read_safetensors

WEIGHTS = "model.safetensors"


class SkiLvlmConfig(PretrainedConfig):
    """What a SKI-LVLM was trained on top of: ids and digests of the frozen parts, widths of the projectors."""

    model_type = "ski_lvlm"

    def __init__(
        self,
        *,
        base_llm: str = "",
        llm_digest: str = "",
        llm_width: int = 0,
        token_widths: Mapping[str, int] | None = None,
        projector: str = "linear",
        standardised: bool = False,
        delimited: Collection[str] = (),
        chat_template: str = "auto",
        date: str = DATE,
        prompt: Sequence[str] = (),
        manifest: Mapping[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        self.base_llm = base_llm
        self.llm_digest = llm_digest
        self.llm_width = llm_width
        self.token_widths = dict(token_widths or {})
        self.projector = projector
        self.standardised = standardised
        self.delimited = sorted(delimited)  # modalities whose tokens stand between a start and an end token
        self.chat_template = chat_template
        self.date = date  # the day that the chat template may write
        self.prompt = list(prompt)  # what the chat template writes before and behind the question
        self.manifest = dict(manifest or {})  # features.json of the training features: tower, frames, encoder
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """What DeepSpeed's automatic bucket sizes are derived from."""
        return self.llm_width


class SkiLvlm(PreTrainedModel):
    """T_v and T_s before a frozen LLM.

    Paper: Sec. 3.3, Eq. (4).
    Deviation: no start and end tokens are trained; the published code trains their embeddings, the paper trains
    projection layers only. Published projectors can bring theirs along (`delimit`).
    """

    config_class = SkiLvlmConfig
    main_input_name = "ids"
    accepts_loss_kwargs = True
    supports_gradient_checkpointing = True

    def __init__(self, config: SkiLvlmConfig, llm: Llm) -> None:
        super().__init__(config)
        self.llm = llm.model
        self.tokenizer: PreTrainedTokenizerBase = llm.tokenizer
        self.prompting = Prompting(llm, config.prompt, chat_template=config.chat_template, day=config.date)
        config.prompt = self.prompting.prompt
        self.projectors = nn.ModuleDict(
            {
                modality: Projector(
                    width,
                    config.llm_width,
                    kind=config.projector,
                    standardised=config.standardised,
                    delimited=modality in config.delimited,
                )
                for modality, width in config.token_widths.items()
            }
        )
        self.vision_tower: VisionTower | None = None
        self._keys_to_ignore_on_save = {f"llm.{name}" for name in self.llm.state_dict()}
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_post_hook(_expect_trained_only)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave weights as they are: projectors have PyTorch's initialisation, the LLM its own."""

    @classmethod
    def build(
        cls,
        *,
        base_llm: str,
        token_widths: Mapping[str, int],
        projector: str = "linear",
        chat_template: str = "auto",
        manifest: Mapping[str, Any] | None = None,
        statistics: Mapping[str, Statistics] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "SkiLvlm":
        """A SKI-LVLM with untrained projectors (fp32) before the LLM `base_llm` (held in `dtype`).

        With `statistics` of each modality's training tokens the projectors standardise them.
        """
        llm = load_llm(base_llm, dtype=dtype)
        embeddings = cast(nn.Embedding, llm.model.get_input_embeddings())
        config = SkiLvlmConfig(
            base_llm=base_llm,
            llm_digest=weights_digest(llm.model),
            llm_width=embeddings.embedding_dim,
            token_widths=token_widths,
            projector=projector,
            standardised=statistics is not None,
            chat_template=chat_template,
            manifest=manifest,
        )
        model = cls(config, llm)
        with gathered(embeddings.weight) as weight:
            size = float(weight.float().square().mean().sqrt())
        for modality, found in (statistics or {}).items():
            cast(Projector, model.projectors[modality]).standardise(found, embedding_size=size)
        return model

    def delimit(self, modality: str, delimiters: Float[Tensor, "2 K"]) -> None:
        """From now on put this start and end token around the modality's tokens; they are saved with the projector."""
        self.config.delimited = sorted({*self.config.delimited, modality})
        self.projectors[modality].register_buffer("delimiters", delimiters.float())

    def train(self, mode: bool = True) -> "SkiLvlm":
        """Training mode for the projectors; the frozen LLM keeps its dropout off unless it must checkpoint."""
        super().train(mode)
        self.llm.train(mode and self.llm.is_activation_checkpointing)
        return self

    def embed(self, ids: Int[Tensor, "B L"], features: Mapping[str, Float[Tensor, "_ _"]]) -> Float[Tensor, "B L K"]:
        """The LLM's input: word embeddings with projected tokens where the placeholders stand.

        `features` holds each modality's tokens of the whole batch, [N F], in the order of the samples.
        """
        embeddings = self.llm.get_input_embeddings()(ids.clamp(min=0))
        embeddings = splice(embeddings, ids, {name: self.projectors[name](tokens) for name, tokens in features.items()})
        delimiters = {name: self.projectors[name].get_buffer("delimiters") for name in self.config.delimited}
        return delimit(embeddings, ids, delimiters)

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        attention_mask: Int[Tensor, "B L"],
        features: Mapping[str, Float[Tensor, "_ _"]],
        labels: Int[Tensor, "B L"],
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutput:
        """Next-token loss over the answers; logits are computed only where there is a label.

        With `num_items_in_batch` (trained tokens of the whole optimiser step) the loss is their sum over that number,
        so that accumulation and the number of processes do not change it; without, the mean.
        """
        positions = trained_positions(labels)
        logits = self.llm(
            inputs_embeds=self.embed(ids, features),
            attention_mask=attention_mask,
            position_ids=_positions(attention_mask),
            logits_to_keep=positions,
            use_cache=False,
        ).logits
        targets = labels[:, positions + 1].flatten()
        total = functional.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
        trained = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return CausalLMOutput(loss=total / trained)

    @torch.inference_mode()
    def generate(
        self,
        video: Sequence[UInt8[Tensor, "_ 3 H W"]],
        question: Sequence[str],
        *,
        max_new_tokens: int = 256,
        **sampling: Any,  # noqa: ANN401
    ) -> list[str]:
        """Answer a question about each video; greedy unless `sampling` says otherwise.

        Paper: inference needs video alone; T_s is not used and may be absent, Sec. 3.3.
        """
        tower = self.load_tower()
        tokens = [tower(frames.unsqueeze(0).to(self.device))[0].float() for frames in video]
        return self.answer(tokens, question, max_new_tokens=max_new_tokens, **sampling)

    @torch.inference_mode()
    def answer(
        self,
        video_tokens: Sequence[Float[Tensor, "_ F"]],
        question: Sequence[str],
        *,
        max_new_tokens: int = 256,
        **sampling: Any,  # noqa: ANN401
    ) -> list[str]:
        """Answer from video tokens that a tower has already produced (features of one's own included).

        The video comes after the question, as in training; placeholders that a question brings along are left out.
        An answer ends where the language model's context ends, if that comes before `max_new_tokens`.

        Raises:
            ValueError: question and video fill the language model's context.
        """
        asked = [self.prompt_ids(len(tokens), text) for tokens, text in zip(video_tokens, question, strict=True)]
        if problem := next(filter(None, map(self.prompting.problem, asked)), None):
            raise ValueError(problem)
        padding = pad_id(self.tokenizer)
        ids = left_padded(asked, padding).to(self.device)
        attention_mask = left_padded([torch.ones_like(sample) for sample in asked], 0).to(self.device)
        embeddings = self.embed(ids, {"video": torch.cat(list(video_tokens)).to(self.device)})
        generate = cast(Callable[..., Int[Tensor, "B L"]], self.llm.generate)
        generated = generate(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            max_new_tokens=self.prompting.room(ids.shape[1], max_new_tokens),
            pad_token_id=padding,
            eos_token_id=self.end_ids or None,
            **({"do_sample": False} | sampling),
        )
        return [answer_text(answer, self.tokenizer, self.end_ids) for answer in generated.tolist()]

    @property
    def end_ids(self) -> list[int]:
        """The ids at which an answer ends."""
        return self.prompting.end_ids

    def prompt_ids(self, video_tokens: int, question: str) -> Int[Tensor, " L"]:
        """Token ids of a question about a video of so many tokens, as in training."""
        return self.prompting.ids(question, video_tokens, delimited=self.config.delimited)

    def load_tower(self) -> VisionTower:
        """The vision tower the training features came from, loaded at the first call.

        Raises:
            ValueError: the model was trained on features of one's own, or the tower's weights are not those.
        """
        if self.vision_tower is None:
            video = self.config.manifest.get("video")
            if video is None:
                raise ValueError(
                    "this model was trained on features without a features.json, so it does not know a vision tower; "
                    "use answer(video_tokens, question) with tokens of the same kind"
                )
            tower = load_vision_tower(video["tower"], num_frames=video["num_frames"])
            _check_digest("vision tower", video["tower"], found=tower.digest, expected=video["digest"])
            self.__dict__["vision_tower"] = tower.to(self.device)  # not a submodule: it is neither trained nor saved
        assert self.vision_tower is not None
        return self.vision_tower

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Write config.json and the projectors: a few MB, never the frozen parts."""
        if not is_main_process:
            return
        trained = {name: t for name, t in (state_dict or self.state_dict()).items() if name.startswith("projectors.")}
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(folder)
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: t.detach().cpu().contiguous() for name, t in trained.items()}, temporary)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        modalities: Sequence[str] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "SkiLvlm":
        """Load trained projectors onto the LLM they were trained with.

        `modalities` names the projectors to load (default: all); inference needs ("video",) alone.

        Raises:
            ValueError: no model in the folder, missing modalities, missing or left-over weights, or an LLM with
                other weights.
        """
        folder = Path(pretrained_model_name_or_path)
        if not (folder / WEIGHTS).exists():
            raise ValueError(f"{folder}: no {WEIGHTS}; expected the --output_dir of a finished train_ski_lvlm.py")
        config = SkiLvlmConfig.from_pretrained(folder)
        llm = load_llm(config.base_llm, dtype=dtype)
        _check_digest("language model", config.base_llm, found=weights_digest(llm.model), expected=config.llm_digest)
        if modalities is not None:
            if absent := sorted(set(modalities) - set(config.token_widths)):
                raise ValueError(f"{folder}: trained on {list(config.token_widths)} alone, expected {absent} as well")
            config.token_widths = {name: config.token_widths[name] for name in modalities}
            config.delimited = [name for name in config.delimited if name in modalities]
        model = cls(config, llm)
        prefixes = tuple(f"projectors.{name}." for name in config.token_widths)
        weights = {
            name: tensor for name, tensor in read_safetensors(folder / WEIGHTS).items() if name.startswith(prefixes)
        }
        _load_strictly(model, weights, folder / WEIGHTS)
        return model.eval()


def _positions(attention_mask: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
    """Position of each token counted from its sample's first, so that padding on the left shifts nothing."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)


def _load_strictly(model: SkiLvlm, weights: dict[str, Tensor], file: Path) -> None:
    expected = set(model.state_dict())
    if set(weights) != expected:
        raise ValueError(
            f"{file}: missing {sorted(expected - set(weights))}, left over {sorted(set(weights) - expected)}; "
            "the file does not belong to the config.json beside it"
        )
    model.load_state_dict(weights)


def _check_digest(part: str, model_id: str, *, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(
            f"the {part} {model_id!r} has weights with digest {found}, expected {expected}, with which the projectors "
            f"were trained; point to that {part} again or train anew"
        )


def _drop_frozen(module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:  # noqa: ANN401
    for name in [name for name in state if name.startswith(f"{prefix}llm.")]:
        del state[name]


def _expect_trained_only(_: nn.Module, keys: Any) -> None:  # noqa: ANN401
    keys.missing_keys[:] = [name for name in keys.missing_keys if "llm." not in name]
