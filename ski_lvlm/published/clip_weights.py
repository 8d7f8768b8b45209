"""Load OpenAI's CLIP, ViFi-CLIP and X-CLIP weights, by their authors' own names, into transformers' networks.

A user needs the file alone: what the networks look like is read from the shapes.

Assumption: heads are 64 wide, blocks use QuickGELU, and layer norms add 1e-5, as in all that the authors released.
"""

import re
from collections.abc import Iterator, Mapping

from torch import Tensor
from transformers import CLIPConfig, CLIPModel, XCLIPConfig, XCLIPModel

from ski_lvlm.encoders.pretrained import CLIP_NORMALISATION, Normalisation
from ski_lvlm.published.weights import AFFINE, Place, PublishedWeightsError, leaves, load_places

_HEAD_WIDTH = 64
_OPENAI_WORDS = 49408  # the vocabulary of every released CLIP
_ARCHIVE_FACTS = ("input_resolution", "context_length", "vocab_size")  # numbers among the tensors of OpenAI's archives
_RELEASED_TOKENS, _TOKENS = "token_embedding.weight", "text_model.embeddings.token_embedding.weight"
_TRAINED_SENTENCES = "prompt_learner.complete_text_embeddings"  # embedded class sentences of ViFi-CLIP's training run


IMAGENET_NORMALISATION = Normalisation([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def load_openai_clip(model: CLIPModel, published: Mapping[str, Tensor]) -> None:
    """Load CLIP weights in OpenAI's names, or a checkpoint of the ViFi-CLIP trainer, as `read_published` returns them.

    The trainer's checkpoints hold no token embeddings, since training leaves OpenAI's as they are. The model keeps
    those that it has, so it must have been loaded from the CLIP that was fine-tuned. The class sentences that such a
    checkpoint holds (embedded, for its own data set) are compared with them, and are not used further.

    Raises:
        PublishedWeightsError: a name is missing or left over (such as learned prompts, for which transformers has no
            place), a shape differs, or the model's token embeddings are of another CLIP.
    """
    weights = in_openai_names(published)
    unchanged = []
    if lacks_token_embedding(published):
        _check_token_embedding(model, published)
        unchanged = [_TOKENS]
    places = [place for place in _clip(model) if not {*place.names} & {*unchanged}]
    load_places(model, weights, places, unchanged=unchanged)


def load_xclip(model: XCLIPModel, published: Mapping[str, Tensor]) -> None:
    """Load weights in the X-CLIP authors' names.

    Raises:
        PublishedWeightsError: the message lists all names that are missing or left over, and shapes that differ.
    """
    load_places(model, in_openai_names(published), _xclip(model))


def clip_config_of(published: Mapping[str, Tensor]) -> CLIPConfig:
    """Return the configuration of CLIP or ViFi-CLIP weights. Without token embeddings the vocabulary is OpenAI's.

    Raises:
        PublishedWeightsError: the weights are no CLIP with two transformers, or a width is no multiple of 64.
    """
    weights = in_openai_names(published)
    projection = _shape(weights, "text_projection", 2)[1]
    return CLIPConfig(
        text_config=_text_config(weights) | {"projection_dim": projection},
        vision_config=_vision_config(weights) | {"projection_dim": projection},
        projection_dim=projection,
    )


def xclip_config_of(published: Mapping[str, Tensor]) -> XCLIPConfig:
    """Return the configuration of X-CLIP weights, number of frames included.

    Assumption: the multi-frame transformer and the prompt generator have heads 64 wide, 12 in the large X-CLIP, as the
    authors build them. transformers' own conversion of the large X-CLIP leaves 8 there.

    Raises:
        PublishedWeightsError: the weights are no X-CLIP, or a width is no multiple of 64.
    """
    weights = in_openai_names(published)
    projection = _shape(weights, "text_projection", 2)[1]
    multi_frame = {
        "mit_hidden_size": projection,
        "mit_intermediate_size": _shape(weights, "mit.resblocks.0.mlp.c_fc.weight", 2)[0],
        "mit_num_hidden_layers": _depth(weights, "mit.resblocks"),
        "mit_num_attention_heads": _heads(projection),
        "num_frames": _shape(weights, "mit.positional_embedding", 3)[1],
    }
    return XCLIPConfig(
        text_config=_text_config(weights),
        vision_config=_vision_config(weights) | multi_frame,
        projection_dim=projection,
        prompt_layers=_depth(weights, "prompts_generator.decoder"),
        prompt_num_attention_heads=_heads(projection),
    )


def is_xclip(published: Mapping[str, Tensor]) -> bool:
    """Recognise X-CLIP's names, by its multi-frame integration transformer."""
    return any(name.startswith("mit.") for name in published)


def is_trainer_checkpoint(published: Mapping[str, Tensor]) -> bool:
    """Recognise the names of ViFi-CLIP's trainer, which wraps CLIP's two halves."""
    return any(name.startswith("image_encoder.") for name in published)


def lacks_token_embedding(published: Mapping[str, Tensor]) -> bool:
    """Find out whether token embeddings have to come from the CLIP that was fine-tuned."""
    return is_trainer_checkpoint(published) and _RELEASED_TOKENS not in in_openai_names(published)


def normalisation_of(published: Mapping[str, Tensor]) -> Normalisation:
    """Return the normalisation of the frames that the weights were trained on, judged by their names.

    X-CLIP's and ViFi-CLIP's training normalise by ImageNet's mean and deviation, OpenAI's CLIP by its own. ViFi-CLIP
    weights that somebody renamed to OpenAI's names look like OpenAI's.
    """
    return IMAGENET_NORMALISATION if is_xclip(published) or is_trainer_checkpoint(published) else CLIP_NORMALISATION


def in_openai_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights to OpenAI's names, without wrappers' prefixes and without tensors that are no weights.

    >>> sorted(in_openai_names(dict.fromkeys(["image_encoder.proj", "text_encoder.ln_final.bias", "vocab_size"])))
    ['ln_final.bias', 'visual.proj']
    """
    no_weights = (*_ARCHIVE_FACTS, _TRAINED_SENTENCES)
    return {
        re.sub("^text_encoder[.]", "", re.sub("^image_encoder[.]", "visual.", name)): value
        for name, value in published.items()
        if name not in no_weights
    }


def _check_token_embedding(model: CLIPModel, published: Mapping[str, Tensor]) -> None:
    """Find the token that starts every training sentence among the model's tokens."""
    words = model.text_model.embeddings.token_embedding.weight.detach()
    sentences = published.get(_TRAINED_SENTENCES)
    if sentences is None:
        return
    fits = sentences.ndim == 3 and sentences.shape[-1] == words.shape[-1] and sentences.numel() > 0
    start = sentences[0, 0].to(words) if fits else None
    if start is None or (words - start).abs().amax(1).min() > 1e-3 * start.abs().max():  # they may be half precision
        raise PublishedWeightsError(
            f"the file holds no {_RELEASED_TOKENS}, as ViFi-CLIP's checkpoints do not, and the token embeddings of the "
            f"model are of another CLIP than its {_TRAINED_SENTENCES}; start from the CLIP that was fine-tuned, such "
            "as openai/clip-vit-base-patch16"
        )


def _clip(model: CLIPModel) -> Iterator[Place]:
    yield from _text_tower(len(model.text_model.encoder.layers))
    yield from _vision_tower(len(model.vision_model.encoder.layers), pre_norm="pre_layrnorm")  # transformers' spelling


def _xclip(model: XCLIPModel) -> Iterator[Place]:
    yield from _text_tower(len(model.text_model.encoder.layers))
    yield from _vision_tower(len(model.vision_model.encoder.layers), pre_norm="pre_layernorm")
    for i in range(len(model.vision_model.encoder.layers)):
        yield from _message(f"vision_model.encoder.layers.{i}", f"visual.transformer.resblocks.{i}")
    yield Place(("mit.position_embedding",), ("mit.positional_embedding",))
    for i in range(len(model.mit.encoder.layers)):
        yield from _block(f"mit.encoder.layers.{i}", f"mit.resblocks.{i}")
    yield Place(("prompts_visual_projection",), ("prompts_visual_proj",))
    yield from leaves("prompts_visual_layernorm", "prompts_visual_ln")
    yield Place(("prompts_generator.alpha",), ("prompts_generator.alpha",))
    yield from leaves("prompts_generator.layernorm", "prompts_generator.norm")
    for i in range(len(model.prompts_generator.decoder)):
        yield from _prompt_layer(f"prompts_generator.decoder.{i}")


def _text_tower(depth: int) -> Iterator[Place]:
    yield Place(("logit_scale",), ("logit_scale",))
    yield Place((_TOKENS,), (_RELEASED_TOKENS,))
    yield Place(("text_model.embeddings.position_embedding.weight",), ("positional_embedding",))
    for i in range(depth):
        yield from _block(f"text_model.encoder.layers.{i}", f"transformer.resblocks.{i}")
    yield from leaves("text_model.final_layer_norm", "ln_final")
    yield Place(("text_projection.weight",), ("text_projection",), transposed=True)


def _vision_tower(depth: int, *, pre_norm: str) -> Iterator[Place]:
    yield Place(("vision_model.embeddings.class_embedding",), ("visual.class_embedding",))
    yield Place(("vision_model.embeddings.patch_embedding.weight",), ("visual.conv1.weight",))
    yield Place(("vision_model.embeddings.position_embedding.weight",), ("visual.positional_embedding",))
    yield from leaves(f"vision_model.{pre_norm}", "visual.ln_pre")
    for i in range(depth):
        yield from _block(f"vision_model.encoder.layers.{i}", f"visual.transformer.resblocks.{i}")
    yield from leaves("vision_model.post_layernorm", "visual.ln_post")
    yield Place(("visual_projection.weight",), ("visual.proj",), transposed=True)


def _block(module: str, released: str) -> Iterator[Place]:
    yield from _attention(f"{module}.self_attn", f"{released}.attn")
    for name, released_name in {"layer_norm1": "ln_1", "layer_norm2": "ln_2"}.items():
        yield from leaves(f"{module}.{name}", f"{released}.{released_name}")
    for name, released_name in {"fc1": "c_fc", "fc2": "c_proj"}.items():
        yield from leaves(f"{module}.mlp.{name}", f"{released}.mlp.{released_name}")


def _attention(module: str, released: str) -> Iterator[Place]:
    for suffix in AFFINE:
        parts = tuple(f"{module}.{part}_proj.{suffix}" for part in "qkv")
        yield Place(parts, (f"{released}.in_proj_{suffix}",))
    yield from leaves(f"{module}.out_proj", f"{released}.out_proj")


def _message(module: str, released: str) -> Iterator[Place]:
    """Yield the places of a block's messages between frames, which X-CLIP alone has."""
    yield from leaves(f"{module}.message_fc", f"{released}.message_fc")
    yield from leaves(f"{module}.message_ln", f"{released}.message_ln")
    yield from _attention(f"{module}.message_attn", f"{released}.message_attn")


def _prompt_layer(name: str) -> Iterator[Place]:
    """Yield the places of a layer of the video-specific prompt generator, which has one name on both sides."""
    for part in "qkv":
        yield from leaves(f"{name}.cross_attn.{part}_proj", f"{name}.cross_attn.{part}_proj", suffixes=["weight"])
    for module in ("cross_attn.proj", "norm1", "norm3", "mlp.0", "mlp.3"):
        yield from leaves(f"{name}.{module}", f"{name}.{module}")


def _text_config(weights: Mapping[str, Tensor]) -> dict[str, int]:
    (width,) = _shape(weights, "ln_final.weight", 1)
    words = _shape(weights, _RELEASED_TOKENS, 2)[0] if _RELEASED_TOKENS in weights else _OPENAI_WORDS
    return {
        "vocab_size": words,
        "bos_token_id": words - 2,  # OpenAI's tokenizer ends with these two
        "eos_token_id": words - 1,
        "max_position_embeddings": _shape(weights, "positional_embedding", 2)[0],
        "hidden_size": width,
        "intermediate_size": _shape(weights, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        "num_hidden_layers": _depth(weights, "transformer.resblocks"),
        "num_attention_heads": _heads(width),
    }


def _vision_config(weights: Mapping[str, Tensor]) -> dict[str, int]:
    if "visual.attnpool.positional_embedding" in weights:
        raise PublishedWeightsError("the weights are a ResNet CLIP's; expected a vision transformer, such as ViT-B/16")
    width, _, patch, _ = _shape(weights, "visual.conv1.weight", 4)
    patches = _shape(weights, "visual.positional_embedding", 2)[0] - 1  # one position is the class token's
    if (grid := round(patches**0.5)) ** 2 != patches:
        raise PublishedWeightsError(f"visual.positional_embedding has {patches} patches, expected a square's")
    return {
        "hidden_size": width,
        "intermediate_size": _shape(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        "num_hidden_layers": _depth(weights, "visual.transformer.resblocks"),
        "num_attention_heads": _heads(width),
        "patch_size": patch,
        "image_size": patch * grid,
    }


def _shape(weights: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    if name not in weights:
        raise PublishedWeightsError(
            f"the file has no {name}, which every CLIP with two transformers has (X-CLIP also mit.…); its names start "
            f"with {sorted(weights)[:5]}"
        )
    if weights[name].ndim != axes:
        raise PublishedWeightsError(f"{name} has the shape {tuple(weights[name].shape)}, expected {axes} axes")
    return tuple(weights[name].shape)


def _depth(weights: Mapping[str, Tensor], blocks: str) -> int:
    """Count blocks by their highest number. A missing one between shows when the weights are loaded."""
    matches = [re.match(rf"{re.escape(blocks)}[.](\d+)[.]", name) for name in weights]
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def _heads(width: int) -> int:
    if width % _HEAD_WIDTH or not width:
        raise PublishedWeightsError(f"a transformer is {width} wide, expected a multiple of its heads' {_HEAD_WIDTH}")
    return width // _HEAD_WIDTH
