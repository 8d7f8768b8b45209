"""Random text encoders with the file layout of real ones."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

WORDS = ["a", "photo", "of", "drink", "water", "hand", "waving", "kicking", "something", ".", "eat", "meal", "snack"]


def tiny_tokenizer():
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", *WORDS, "<start>", "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(name, vocabulary[name]) for name in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    )


def tiny_clip(folder, *, logit_scale=3.0, seed=0):
    """A CLIP of two layers, 12-d language space."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": 8, "patch_size": 4}
    config = CLIPConfig(text_config={**layers, **text}, vision_config={**layers, **vision}, projection_dim=12)
    model = CLIPModel(config)
    model.logit_scale.data.fill_(logit_scale)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def tiny_sentence_encoder(folder, *, seed=0, max_tokens=16):
    """A BERT of two layers, 16-d language space."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=max_tokens,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def tiny_siglip(folder):
    """A SigLIP of two layers, 16-d language space, sentences of exactly 12 tokens."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**layers, "vocab_size": len(tokenizer), "max_position_embeddings": 12}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={**layers, "image_size": 8, "patch_size": 4}))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
