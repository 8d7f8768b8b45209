"""A small Llama and its tokenizer, trained from scratch on texts."""

import argparse
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

if TYPE_CHECKING:
    from ski_lvlm.llm.conversation import Encoded

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # SmolLM2's
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HEAD = 32  # width of an attention head
_LONGEST = 512  # tokens


class Samples(Dataset[dict[str, Tensor]]):
    """Conversations as token ids and labels."""

    def __init__(self, conversations: "Sequence[Encoded]") -> None:
        self._conversations = conversations

    def __len__(self) -> int:
        """Return the number of conversations."""
        return len(self._conversations)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one of them."""
        ids, labels = self._conversations[index]
        return {"input_ids": ids, "labels": labels}


def new_tokenizer(texts: Iterable[str], *, size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which knows every text, with a pad token that no text has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, "user", "assistant"], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def new_model(tokenizer: PreTrainedTokenizerFast, *, width: int, depth: int) -> LlamaForCausalLM:
    """Return an untrained Llama whose input and output embeddings are the same."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // _HEAD,
        max_position_embeddings=_LONGEST,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    samples: "Dataset[dict[str, Tensor]]",
    folder: Path,
    args: argparse.Namespace,
) -> None:
    """Train all weights. A crash starts anew, since the training takes minutes."""
    settings = _settings(folder, args.batch_size)
    settings.num_train_epochs, settings.learning_rate, settings.seed = args.epochs, args.learning_rate, args.seed
    settings.lr_scheduler_type, settings.warmup_steps = "cosine", 0.05
    _trainer(model, tokenizer, settings, samples).train()


def perplexity(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, samples: "Dataset[dict[str, Tensor]]", folder: Path
) -> float:
    """Return the perplexity of the answers' tokens, averaged over batches."""
    trainer = _trainer(model, tokenizer, _settings(folder, 32), samples)
    return math.exp(trainer.evaluate(samples)["eval_loss"])


def _settings(folder: Path, batch_size: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        train_sampling_strategy="group_by_length",
        weight_decay=0.01,
        logging_steps=50,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _trainer(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    settings: TrainingArguments,
    samples: "Dataset[dict[str, Tensor]]",
) -> Trainer:
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True)
    return Trainer(model, settings, train_dataset=samples, data_collator=collator)
