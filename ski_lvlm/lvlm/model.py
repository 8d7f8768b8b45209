"""SKI-LVLM: projected video and skeleton tokens in front of a frozen language model.

The projectors are trained and saved, and an adapter or all of the language model where a recipe asks for it. An answer
takes video tokens and a question, and no skeleton.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig
from transformers.modeling_outputs import CausalLMOutput

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.answer_text import answer_text
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.llm.loading import Llm, load_llm
from ski_lvlm.llm.packed_rows import row_arguments
from ski_lvlm.llm.prompting import Prompting
from ski_lvlm.llm.quantisation import quantise
from ski_lvlm.llm.sampling import MAX_NEW_TOKENS
from ski_lvlm.lvlm.adapter import add_adapter
from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.distillation import divergence
from ski_lvlm.lvlm.model_folder import LLM_FOLDER, WEIGHTS, check_names, open_llm
from ski_lvlm.lvlm.padding import left_padded, unpadded_positions
from ski_lvlm.lvlm.projectors.projector import Projector, Statistics
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings, settings_of
from ski_lvlm.lvlm.ski_model import SkiModel
from ski_lvlm.lvlm.splice import delimit, splice, trained_positions
from ski_lvlm.lvlm.trained import LLM, hide_frozen, trained_names, without_projectors
from ski_lvlm.parallel.partitioned import gathered
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.storage.weight_files import read_safetensors


class SkiLvlm(SkiModel):
    """T_v and T_s before a frozen LLM.

    Paper: Sec. 3.3, Eq. (4).
    Deviation: no start and end tokens are trained. The published code trains their embeddings, the paper trains
    projection layers only. Published projectors can bring theirs along (`delimit`).
    """

    config_class = SkiLvlmConfig
    video_only_distillation = 0.0  # weight of what `video_only` batches learn

    def __init__(self, config: SkiLvlmConfig, llm: Llm) -> None:
        super().__init__(config)
        self.llm = llm.model
        self.tokenizer = llm.tokenizer
        self.prompting = Prompting(llm, config.prompt, chat_template=config.chat_template, day=config.date)
        config.prompt = self.prompting.prompt
        self.projector_settings = settings_of(config.projectors)
        self.projectors = nn.ModuleDict(
            {
                modality: Projector(
                    width,
                    config.llm_width,
                    settings=self.projector_settings[modality],
                    standardised=config.standardised,
                    delimited=modality in config.delimited,
                )
                for modality, width in config.token_widths.items()
            }
        )
        hide_frozen(self)
        self.post_init()

    @classmethod
    def build(
        cls,
        *,
        base_llm: str,
        token_widths: Mapping[str, int],
        projectors: Mapping[str, ProjectorSettings] | None = None,
        chat_template: str = "auto",
        manifest: Mapping[str, Any] | None = None,
        statistics: Mapping[str, Statistics] | None = None,
        tuning: AdapterRecipe | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "SkiLvlm":
        """Build a SKI-LVLM with untrained projectors (fp32) before the LLM `base_llm` (held in `dtype`).

        `projectors` are linear where it does not name another kind. With `statistics` of each modality's training
        tokens the projectors standardise them. `tuning` says what is trained of the language
        model, by default nothing.
        """
        tuning = tuning or AdapterRecipe()
        llm = load_llm(base_llm, dtype=dtype)
        embeddings = cast(nn.Embedding, llm.model.get_input_embeddings())
        config = SkiLvlmConfig(
            base_llm=base_llm,
            llm_digest=weights_digest(llm.model),
            llm_width=embeddings.embedding_dim,
            token_widths=token_widths,
            projectors={modality: asdict(settings) for modality, settings in (projectors or {}).items()},
            standardised=statistics is not None,
            chat_template=chat_template,
            manifest=manifest,
            lora_rank=tuning.lora_rank,
            load_in_4bit=tuning.load_in_4bit,
            train=tuning.train,
            llm_folder=LLM_FOLDER if tuning.train == "llm" else "",
        )
        if tuning.load_in_4bit:
            quantise(llm.model)
        model = cls(config, llm)
        with gathered(embeddings.weight) as weight:
            size = float(weight.float().square().mean().sqrt())
        for modality, channels in (statistics or {}).items():
            cast(Projector, model.projectors[modality]).standardise(channels, embedding_size=size)
        if tuning.lora_rank:  # last, so that projectors begin as they do without an adapter
            add_adapter(model.llm, tuning, base=base_llm)
        elif tuning.train == "llm":
            model.llm.requires_grad_(True)
        return model

    def delimit(self, modality: str, delimiters: Float[Tensor, "2 K"]) -> None:
        """Put this start and end token around the modality's tokens, and save them with the projector."""
        self.config.delimited = sorted({*self.config.delimited, modality})
        self.projectors[modality].register_buffer("delimiters", delimiters.float())

    def embed(
        self,
        ids: Int[Tensor, "B L"],
        features: Mapping[str, Float[Tensor, "_ _"]],
        token_counts: Mapping[str, Int[Tensor, " _"]],
    ) -> Float[Tensor, "B L K"]:
        """Return the LLM's input: word embeddings, with projected tokens at the placeholders.

        `features` holds each modality's tokens of the whole batch, [N F], in the order of the samples, and
        `token_counts` how many of them each clip has.
        """
        embeddings = self.llm.get_input_embeddings()(ids.clamp(min=0))
        projected = {name: self.projectors[name](tokens, token_counts[name]) for name, tokens in features.items()}
        embeddings = splice(embeddings, ids, projected)
        delimiters = {name: self.projectors[name].get_buffer("delimiters") for name in self.config.delimited}
        return delimit(embeddings, ids, delimiters)

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        features: Mapping[str, Float[Tensor, "_ _"]],
        token_counts: Mapping[str, Int[Tensor, " _"]],
        labels: Int[Tensor, "B L"],
        attention_mask: Int[Tensor, "B L"] | None = None,
        sample_lengths: Sequence[int] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        video_only: Mapping[str, Any] | None = None,
    ) -> CausalLMOutput:
        """Return the next-token loss over the answers. Logits are computed only where there is a label.

        With `num_items_in_batch` (trained tokens of the whole optimiser step) the loss is their sum over that number,
        so that accumulation and the number of processes do not change it. Without, it is the mean.

        A batch has an `attention_mask` of its padding, or is one row of samples with these `sample_lengths`.

        `video_only` has the `batch` of samples that are also read without their skeleton, and the labels that are
        `taught` by this batch. These samples' distributions are drawn to those with the skeleton (`divergence`). They
        have no cross-entropy of their own.
        """
        logits, targets = self._answer_logits(ids, features, token_counts, labels, attention_mask, sample_lengths)
        total = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        if video_only is not None:
            is_taught = video_only["taught"][:, trained_positions(labels) + 1] != IGNORED
            students, student_targets = self._answer_logits(**video_only["batch"])
            apart = divergence(logits[is_taught], students[student_targets != IGNORED])
            total = total + self.video_only_distillation * apart
        trained = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return CausalLMOutput(loss=total / trained)

    def _answer_logits(
        self,
        ids: Int[Tensor, "B L"],
        features: Mapping[str, Float[Tensor, "_ _"]],
        token_counts: Mapping[str, Int[Tensor, " _"]],
        labels: Int[Tensor, "B L"],
        attention_mask: Int[Tensor, "B L"] | None = None,
        sample_lengths: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "B P V"], Int[Tensor, "B P"]]:
        """Return the logits of all positions whose next token is trained in any sample, and these tokens."""
        positions = trained_positions(labels)
        embeddings = self.embed(ids, features, token_counts)
        if self.llm.is_activation_checkpointing and not embeddings.requires_grad and torch.is_grad_enabled():
            embeddings.requires_grad_()  # all projectors are frozen, but reentrant checkpoints follow inputs alone
        logits = self.llm(
            inputs_embeds=embeddings,
            **self._place(ids, attention_mask, sample_lengths),
            logits_to_keep=positions,
            use_cache=False,
        ).logits
        return logits, labels[:, positions + 1]

    def _place(
        self, ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"] | None, sample_lengths: Sequence[int] | None
    ) -> dict[str, Any]:
        """Return the arguments that tell the LLM where each token stands in its sample."""
        if sample_lengths is not None:
            return row_arguments(self.llm, sample_lengths, ids.device)
        mask = torch.ones_like(ids) if attention_mask is None else attention_mask
        return {"attention_mask": mask, "position_ids": unpadded_positions(mask)}

    @torch.inference_mode()
    def answer(
        self,
        video_tokens: Sequence[Float[Tensor, "_ F"]],
        question: Sequence[str],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        **sampling: Any,  # noqa: ANN401
    ) -> list[str]:
        """Answer a question about each video from its tokens. Greedy unless `sampling` says otherwise.

        The tokens are a vision tower's, or features of the user's own. The video comes after the question, as in
        training, and placeholders in a question are dropped. With no token of a video, [0, F], the question stands
        alone. An answer ends where the language model's context ends, if that comes before `max_new_tokens`.

        Paper: inference needs video alone. T_s is not used and may be absent, Sec. 3.3.
        Raises:
            ValueError: question and video fill the language model's context.
        """
        embeddings, attention_mask = self.embed_prompts(video_tokens, question)
        generate = cast(Callable[..., Int[Tensor, "B L"]], self.llm.generate)
        generated = generate(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            max_new_tokens=self.prompting.room(embeddings.shape[1], max_new_tokens),
            pad_token_id=pad_id(self.tokenizer),
            eos_token_id=self.end_ids or None,
            **({"do_sample": False} | sampling),
        )
        return [answer_text(answer, self.tokenizer, self.end_ids) for answer in generated.tolist()]

    @torch.inference_mode()
    def embed_prompts(
        self, video_tokens: Sequence[Float[Tensor, "_ F"]], question: Sequence[str]
    ) -> tuple[Float[Tensor, "B L K"], Int[Tensor, "B L"]]:
        """Return the LLM's input for a question about each video, padded on the left, and its mask.

        Raises:
            ValueError: question and video fill the language model's context.
        """
        prompts = [self.prompt_ids(len(tokens), text) for tokens, text in zip(video_tokens, question, strict=True)]
        if problem := next(filter(None, map(self.prompting.problem, prompts)), None):
            raise ValueError(problem)
        ids = left_padded(prompts, pad_id(self.tokenizer)).to(self.device)
        attention_mask = left_padded([torch.ones_like(prompt) for prompt in prompts], 0).to(self.device)
        features = {"video": torch.cat(list(video_tokens)).to(self.device)}
        counts = {"video": video_counts(video_tokens).to(self.device)}
        return self.embed(ids, features, counts), attention_mask

    @property
    def end_ids(self) -> list[int]:
        """Return the ids at which an answer ends."""
        return self.prompting.end_ids

    def prompt_ids(self, video_tokens: int, question: str) -> Int[Tensor, " L"]:
        """Return the token ids of a question about a video of so many tokens, as in training."""
        embeddings = self.projector_settings["video"].count(video_tokens)
        return self.prompting.ids(question, embeddings, delimited=self.config.delimited)

    def problem(self, video_tokens: int, question: str) -> str | None:
        """Return the reason why a question about a video leaves no room for an answer, None where it does."""
        return self.prompting.problem(self.prompt_ids(video_tokens, question))

    @classmethod
    def _open(  # type: ignore[override]
        cls, folder: Path, *, modalities: Sequence[str] | None = None, dtype: torch.dtype = torch.float32
    ) -> "SkiLvlm":
        """Load trained projectors onto the LLM they were trained with.

        `modalities` names the projectors to load (default: all). Inference needs ("video",) alone.

        Raises:
            ValueError: no model in the folder, missing modalities, missing or unexpected weights, or an LLM with
                other weights.
        """
        if not (folder / WEIGHTS).exists():
            raise ValueError(f"{folder}: no {WEIGHTS}; expected the --output_dir of a finished train_ski_lvlm.py")
        kind = PretrainedConfig.get_config_dict(str(folder))[0].get("model_type")
        if kind != SkiLvlmConfig.model_type:
            raise ValueError(f"{folder}: a model of type {kind!r}; open it with ski_lvlm.from_pretrained")
        config = SkiLvlmConfig.from_pretrained(folder)
        llm = open_llm(config, folder, dtype=dtype)
        unused: set[str] = set()
        if modalities is not None:
            unused = set(config.token_widths) - set(modalities)
            if absent := sorted(set(modalities) - set(config.token_widths)):
                raise ValueError(f"{folder}: trained on {list(config.token_widths)} alone, expected {absent} as well")
            config.token_widths = {name: config.token_widths[name] for name in modalities}
            config.projectors = {name: config.projectors[name] for name in modalities}
            config.delimited = [name for name in config.delimited if name in modalities]
        model = cls(config, llm)
        weights = without_projectors(read_safetensors(folder / WEIGHTS), unused)
        check_names(weights, {name for name in trained_names(model) if not name.startswith(LLM)}, folder)
        model.load_state_dict(weights, strict=False)  # the language model has its own already
        return model.eval()


def video_counts(video_tokens: Sequence[Float[Tensor, "_ F"]]) -> Int[Tensor, " S"]:
    """Return the number of tokens of each video that has some."""
    return torch.tensor([len(tokens) for tokens in video_tokens if len(tokens)], dtype=torch.long)
