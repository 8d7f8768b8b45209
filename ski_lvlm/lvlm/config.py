"""Configuration of a SKI-LVLM, as it is saved beside the trained weights."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from transformers import PretrainedConfig

from ski_lvlm.llm.chat_template import DATE
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings


class SkiLvlmConfig(PretrainedConfig):
    """Ids and digests of a SKI-LVLM's frozen parts, its projectors and prompt, and what its language model learned."""

    model_type = "ski_lvlm"

    def __init__(
        self,
        *,
        base_llm: str = "",
        llm_digest: str = "",
        llm_width: int = 0,
        token_widths: Mapping[str, int] | None = None,
        projector: str = "linear",
        projectors: Mapping[str, Mapping[str, Any]] | None = None,
        standardised: bool = False,
        delimited: Collection[str] = (),
        chat_template: str = "auto",
        date: str = DATE,
        prompt: Sequence[str] = (),
        manifest: Mapping[str, Any] | None = None,
        lora_rank: int = 0,
        load_in_4bit: bool = False,
        train: str = "projectors",
        llm_folder: str = "",
        tuned_llm_digest: str = "",
        skeleton_control: str = "none",
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        self.base_llm = base_llm
        self.llm_digest = llm_digest
        self.llm_width = llm_width
        self.token_widths = dict(token_widths or {})
        kinds = {modality: asdict(ProjectorSettings(projector)) for modality in self.token_widths}
        self.projectors = {**kinds, **(projectors or {})}  # earlier models name one kind for all modalities
        self.standardised = standardised
        self.delimited = sorted(delimited)  # modalities whose tokens stand between a start and an end token
        self.chat_template = chat_template
        self.date = date  # the day that the chat template may write
        self.prompt = list(prompt)  # texts of the chat template before and behind the question
        self.manifest = dict(manifest or {})  # features.json of the training features: tower, frames, encoder
        self.lora_rank = lora_rank  # of the adapter in adapter/
        self.load_in_4bit = load_in_4bit
        self.train = train  # projectors or llm, as --train
        self.llm_folder = llm_folder  # beside this file, where the language model is not `base_llm` itself
        self.tuned_llm_digest = tuned_llm_digest  # of a trained language model. `llm_digest` is that of its origin
        self.skeleton_control = skeleton_control  # of the training, or of a run that it began with
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Return the width that DeepSpeed derives its automatic bucket sizes from."""
        return self.llm_width
