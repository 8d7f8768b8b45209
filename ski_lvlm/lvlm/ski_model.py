"""The base of models with projectors in front of a frozen model: what is trained, and its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ski_lvlm.llm.loading import Llm
from ski_lvlm.lvlm.adapter import set_adapter_mode
from ski_lvlm.lvlm.model_folder import write_model
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.trained import trained_names
from ski_lvlm.sharing.hub_model import HubModel, write_readme


class SkiModel(HubModel, PreTrainedModel):  # type: ignore[misc]  # hub methods of its own
    """Base of the models that train_ski_lvlm.py trains.

    Attributes:
        llm: the frozen model, which may have an adapter.
        tokenizer: of the frozen model.
        projectors: from tokens of each modality to embeddings.
        projector_settings: kinds and sizes of the projectors.
    """

    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    projectors: nn.ModuleDict
    projector_settings: dict[str, ProjectorSettings]
    main_input_name = "ids"
    accepts_loss_kwargs = True
    supports_gradient_checkpointing = True

    def initialize_weights(self) -> None:
        """Leave weights as they are: projectors have PyTorch's initialisation, `llm` and its adapter their own."""

    def train(self, mode: bool = True) -> "SkiModel":
        """Set training mode for the projectors and the adapter.

        A frozen LLM keeps its dropout off unless it must checkpoint.
        """
        super().train(mode)
        self.llm.train(mode and (self.config.train == "llm" or self.llm.is_activation_checkpointing))
        set_adapter_mode(self.llm, mode)
        return self

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Any,  # noqa: ANN401
    ) -> None:
        """Write config.json and the trained weights as `ski_lvlm.lvlm.model_folder`, never the frozen parts.

        `hub` is for `push_to_hub`. Other arguments of transformers have no effect.
        """
        if is_main_process:
            names, weights = trained_names(self), state_dict or self.state_dict()
            trained = {name: tensor for name, tensor in weights.items() if name in names}
            write_model(self.config, Llm(self.llm, self.tokenizer), trained, Path(save_directory))
            write_readme(Path(save_directory), self.readme)
            if push_to_hub:
                self.push_to_hub(repo_id or Path(save_directory).resolve().name, **hub)
