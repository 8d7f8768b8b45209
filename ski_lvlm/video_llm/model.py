"""A frozen video LLM that reads projected skeleton tokens behind the video, in training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.llm.sampling import MAX_NEW_TOKENS
from ski_lvlm.lvlm.adapter import FOLDER, add_adapter, open_adapter
from ski_lvlm.lvlm.model_folder import WEIGHTS, check_frozen_part, check_names
from ski_lvlm.lvlm.projectors.projector import Projector, Statistics
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings, settings_of
from ski_lvlm.lvlm.ski_model import SkiModel
from ski_lvlm.lvlm.splice import trained_positions
from ski_lvlm.lvlm.trained import LLM, hide_frozen, trained_names
from ski_lvlm.parallel.partitioned import gathered
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.storage.weight_files import read_safetensors
from ski_lvlm.video_llm.answering import answer, placed
from ski_lvlm.video_llm.config import SkiVideoLlmConfig
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.loading import VideoLlm, load_video_llm
from ski_lvlm.video_llm.prompting import SKELETON, Inputs, VideoPrompting


class SkiVideoLlm(SkiModel):
    """T_s before a frozen video LLM, which keeps its own way of looking at videos.

    Skeleton tokens take the place of word embeddings behind the video. The base computes positions from its own inputs,
    in which they are marked as text, so that they come one after the other behind the video also where positions have
    three dimensions, as in Qwen2.5-VL.

    Paper: Sec. 3.3, with another base. Deviation: the base's own vision path takes the place of T_v.
    """

    config_class = SkiVideoLlmConfig

    def __init__(self, config: SkiVideoLlmConfig, base: VideoLlm) -> None:
        super().__init__(config)
        self.llm = base.model
        self.prompting = VideoPrompting(base)
        self.tokenizer = self.prompting.tokenizer
        self.projector_settings = settings_of(config.projectors)
        self.projectors = nn.ModuleDict(
            {
                name: Projector(
                    width, config.llm_width, settings=self.projector_settings[name], standardised=config.standardised
                )
                for name, width in config.token_widths.items()
            }
        )
        hide_frozen(self)
        self.post_init()

    @classmethod
    def build(
        cls,
        *,
        base_vlm: str,
        skeleton_width: int,
        projector: ProjectorSettings,
        num_frames: int,
        frame_side: int,
        manifest: Mapping[str, Any] | None = None,
        statistics: Statistics | None = None,
        tuning: AdapterRecipe | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "SkiVideoLlm":
        """Build an untrained skeleton projector (fp32) before the video LLM `base_vlm` (held in `dtype`).

        `tuning` may ask for an adapter in its language model.
        """
        base = load_video_llm(base_vlm, dtype=dtype)
        embeddings = cast(nn.Embedding, base.model.get_input_embeddings())
        rank = tuning.lora_rank if tuning else 0
        config = SkiVideoLlmConfig(
            base_llm=base_vlm,
            llm_digest=weights_digest(base.model),
            llm_width=embeddings.embedding_dim,
            token_widths={"skeleton": skeleton_width},
            projectors={"skeleton": asdict(projector)},
            standardised=statistics is not None,
            num_frames=num_frames,
            frame_side=frame_side,
            manifest=manifest,
            lora_rank=rank,
        )
        model = cls(config, base)
        config.prompt = model.prompting.prompt
        if statistics is not None:
            with gathered(embeddings.weight) as weight:
                size = float(weight.float().square().mean().sqrt())
            cast(Projector, model.projectors["skeleton"]).standardise(statistics, embedding_size=size)
        if tuning and rank:
            add_adapter(model.llm, tuning, base=base_vlm, within=decoder_name(model.llm))
        return model

    def forward(
        self,
        ids: Int[Tensor, " L"],
        labels: Int[Tensor, " L"],
        lengths: Int[Tensor, " B"],
        inputs: Sequence[Inputs],
        features: Mapping[str, Float[Tensor, "_ _"]],
        token_counts: Mapping[str, Int[Tensor, " _"]],
        attention_mask: Int[Tensor, " L"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutput:
        """Return the next-token loss over the answers of B samples, which lie behind each other.

        The base looks at one sample after the other, without padding, since each family has its own form of batches.
        `num_items_in_batch` is as for `SkiLvlm.forward`. `attention_mask` is for counting tokens alone.
        """
        projected = self.projectors["skeleton"](features["skeleton"], token_counts["skeleton"])
        total: Tensor | float = 0.0
        trained, used = torch.zeros((), dtype=torch.long, device=ids.device), 0
        for sample_ids, sample_labels, sample in zip(
            ids.split(lengths.tolist()), labels.split(lengths.tolist()), inputs, strict=True
        ):
            count = int((sample_ids == SKELETON).sum())
            logits, targets = self._trained_logits(sample_ids, sample_labels, sample, projected[used : used + count])
            total = total + functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")
            trained, used = trained + (targets != IGNORED).sum(), used + count
        if used != len(projected):
            raise ValueError(f"found {len(projected)} skeleton embeddings, expected {used}, one for each place")
        return CausalLMOutput(
            loss=cast(Tensor, total) / (trained if num_items_in_batch is None else num_items_in_batch)
        )

    def _trained_logits(
        self, ids: Int[Tensor, " L"], labels: Int[Tensor, " L"], inputs: Inputs, tokens: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "P V"], Int[Tensor, " P"]]:
        """Return logits and targets where the next token is trained, of one sample."""
        positions, slots = trained_positions(labels.unsqueeze(0)), ids == SKELETON
        words = ids.masked_fill(slots, pad_id(self.tokenizer)).unsqueeze(0)
        with self._inserted(slots.unsqueeze(0), tokens):
            output = self.llm(
                input_ids=words,
                attention_mask=torch.ones_like(words),
                logits_to_keep=positions,
                use_cache=False,
                **placed(inputs, self.llm),
            )
        return output.logits[0], labels[positions + 1]

    @contextmanager
    def _inserted(self, slots: Bool[Tensor, "1 L"], tokens: Float[Tensor, "N K"]) -> Iterator[None]:
        """Put tokens into the place of word embeddings while the base looks its words up."""

        def insert(_: nn.Module, __: Any, embeddings: Tensor) -> Tensor:  # noqa: ANN401
            if embeddings.shape[:2] != slots.shape:
                return embeddings
            if not len(tokens):  # keeps the projector in every process's graph
                embeddings = embeddings + 0.0 * tokens.sum()
            embeddings = embeddings.masked_scatter(slots.unsqueeze(-1), tokens.to(embeddings.dtype))
            if self.llm.is_activation_checkpointing and not embeddings.requires_grad and torch.is_grad_enabled():
                embeddings.requires_grad_()  # a frozen projector: reentrant checkpoints follow their inputs alone
            return embeddings

        handle = self.llm.get_input_embeddings().register_forward_hook(insert)
        try:
            yield
        finally:
            handle.remove()

    @torch.inference_mode()
    def answer(
        self,
        videos: Sequence[VideoFrames],
        question: Sequence[str],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        **sampling: Any,  # noqa: ANN401
    ) -> list[str]:
        """Answer a question about each video, one after the other. Greedy unless `sampling` says otherwise.

        This is the base's own `generate` with its processor's own inputs.

        Raises:
            ValueError: question and video fill the context.
        """
        return [
            answer(self.llm, self.prompting, video, text, max_new_tokens=max_new_tokens, **sampling).text
            for video, text in zip(videos, question, strict=True)
        ]

    @property
    def end_ids(self) -> list[int]:
        """Return the ids at which an answer ends."""
        return self.prompting.end_ids

    @classmethod
    def _open(  # type: ignore[override]
        cls, folder: Path, *, is_for_video: bool = False, dtype: torch.dtype = torch.float32
    ) -> "SkiVideoLlm":
        """Load a trained projector and adapter onto the video LLM that they were trained with.

        With `is_for_video` the skeleton projector is left out, which inference does not need.

        Raises:
            ValueError: no model in the folder, missing or unexpected weights, or a base with other weights or prompts.
        """
        config = SkiVideoLlmConfig.from_pretrained(folder)
        base = load_video_llm(config.base_llm, dtype=dtype)
        digest = weights_digest(base.model)
        check_frozen_part("video LLM", config.base_llm, digest=digest, expected=config.llm_digest)
        if config.lora_rank:
            open_adapter(base.model, folder / FOLDER)
        if is_for_video:
            config.token_widths, config.projectors = {}, {}
        model = cls(config, base)
        if model.prompting.prompt != config.prompt:
            raise ValueError(
                f"{folder}: the chat template of {config.base_llm!r} writes {model.prompting.prompt}, expected "
                f"{config.prompt} as in training; point to that version of the base, or train anew"
            )
        if not is_for_video:
            weights = read_safetensors(folder / WEIGHTS)
            check_names(weights, {name for name in trained_names(model) if not name.startswith(LLM)}, folder)
            model.load_state_dict(weights, strict=False)
        return model.eval()


def decoder_name(base: PreTrainedModel) -> str:
    """Return the name of the language model within a video LLM."""
    decoder = base.get_decoder()
    return next(name for name, module in base.named_modules() if module is decoder)
