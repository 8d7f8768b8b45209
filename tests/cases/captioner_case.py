"""Folders that hold vision-language models small enough for tests: CogVLM's test double, and a LLaVA."""

import io
import json

import torch
from PIL import Image

# A test double for CogVLM's repository: its call contract (build_conversation_input_ids, then generate with
# token_type_ids and nested images) on a model that answers with fixed words and checks what it is given. It prints, as
# CogVLM's code does, says which GPU it sees, and never ends with a red picture.
# Transformers 4.41 and 5 both load it.
REMOTE_CODE = """
import os
import pathlib
import time

import torch
from transformers import PretrainedConfig, PreTrainedModel


class DoubleConfig(PretrainedConfig):
    model_type = "cogvlm_double"


class DoubleModel(PreTrainedModel):
    config_class = DoubleConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.post_init()

    def build_conversation_input_ids(self, tokenizer, *, query, history, images):
        print("a library's chatter")
        os.write(1, b"{not json}")
        ids = torch.tensor(tokenizer.encode(query))
        (image,) = images
        assert image.mode == "RGB" and image.size == (224, 224) and history == []
        pixels = torch.tensor(image.getpixel((112, 112))).float()
        return {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": 0 * ids + 1, "images": [pixels]}

    def generate(self, input_ids, token_type_ids, attention_mask, images, max_new_tokens, do_sample):
        assert input_ids.shape == token_type_ids.shape == attention_mask.shape and input_ids.ndim == 2
        assert images[0][0].dtype == self.weight.dtype and not do_sample and max_new_tokens in (2, 256)
        red, green, _ = images[0][0].tolist()
        if red > 200 and green < 50:
            pathlib.Path(f"{self.config.name_or_path}.begun").touch()
            time.sleep(1e6)
        seen = 6 + int(os.environ.get("CUDA_VISIBLE_DEVICES") or 0)
        answer = torch.tensor([[3, 4 + int(green > 128), seen, 2]], device=input_ids.device)
        return torch.cat([input_ids, answer], dim=1)
"""
DOUBLE_WORDS = ("<unk>", "<s>", "</s>", "clapping", "darkly", "brightly", "0", "1")

# Each word of the LLaVA is followed by the next one, without an end: "A man claps loudly now. A man ..."
LLAVA_WORDS = ("<unk>", "</s>", "<image>", "Answer:", "A", "man", "claps", "loudly", "now.")
TEMPLATE = (
    "{% for message in messages %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}Answer:"
)
PATCHES = 4  # tokens of one picture


def cogvlm_double(folder):
    """The double in a folder, with its tokenizer in another one below."""
    from safetensors.torch import save_file

    (folder / "tokenizer").mkdir(parents=True)
    (folder / "modeling_double.py").write_text(REMOTE_CODE)
    auto_map = {"AutoConfig": "modeling_double.DoubleConfig", "AutoModelForCausalLM": "modeling_double.DoubleModel"}
    settings = {"model_type": "cogvlm_double", "auto_map": auto_map, "architectures": ["DoubleModel"]}
    (folder / "config.json").write_text(json.dumps(settings))
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    _word_tokenizer(DOUBLE_WORDS).save(str(folder / "tokenizer" / "tokenizer.json"))
    kept = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(kept))
    return folder


def tiny_llava(folder, *, template=TEMPLATE):
    """A LLaVA whose vision tower is random and whose language model knows one sentence."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    width = 8 * -(-len(LLAVA_WORDS) // 8)
    text = LlamaConfig(
        vocab_size=width, hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=1024, tie_word_embeddings=False, eos_token_id=1, bos_token_id=None, pad_token_id=1,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=2, image_token_id=2, image_seq_length=PATCHES,
        vision_feature_layer=-1, vision_feature_select_strategy="default",
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    weights = dict(model.named_parameters())
    _only_follow_words({name: weight for name, weight in weights.items() if "vision" not in name}, width)
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    _llava_processor(template).save_pretrained(folder)
    return folder


@torch.no_grad()
def _only_follow_words(weights, width):
    """Embed words one-hot, let no layer change them, and read off the one that follows."""
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.zero_()
        elif name.endswith("embed_tokens.weight"):
            weight.copy_(torch.eye(width))
        elif name.endswith("lm_head.weight"):
            weight.zero_()
            first = LLAVA_WORDS.index("A")
            for word in range(len(LLAVA_WORDS)):
                weight[word + 1 if first <= word < len(LLAVA_WORDS) - 1 else first, word] = 1


def _llava_processor(template):
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    size = {"height": 16, "width": 16}
    images = CLIPImageProcessor(do_center_crop=False, size=size, crop_size=size)
    words = PreTrainedTokenizerFast(
        tokenizer_object=_word_tokenizer(LLAVA_WORDS), unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    )
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return LlavaProcessor(
        images, words, patch_size=8, vision_feature_select_strategy="default", chat_template=template,
        image_token="<image>", num_additional_image_tokens=1,
    )  # fmt: skip


def _word_tokenizer(words):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def png(colour, side=224):
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, format="PNG")
    return file.getvalue()
