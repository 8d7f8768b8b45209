"""Projectors that others have released for video tokens of this kind, before the language model they belong to."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.encoders.vision_tower import load_vision_tower
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.published.weights import Place, PublishedWeightsError, load_places, read_published
from ski_lvlm.storage.json_files import read_json

logger = logging.getLogger(__name__)
# The video projector's own tensors, under whatever module.
_VIDEO = re.compile(r"(?:.*\.)?mm_projector\.(.+)")
_ANY_PROJECTOR = re.compile(r"(?:.*\.)?\w*projector\w*\..+")  # `pose_mm_projector`, `mm_projector_forpose`, …
_EMBEDDINGS = re.compile(r"(?:.*\.)?embed_tokens\.weight")
_KINDS = {("bias", "weight"): "linear", ("0.bias", "0.weight", "2.bias", "2.weight"): "mlp"}


def video_chatgpt(
    weights: Path,
    *,
    base_llm: str,
    vision_tower: str,
    num_frames: int = 100,
    delimited: bool = True,
    dtype: torch.dtype = torch.float32,
) -> SkiLvlm:
    """Load the published video projector of Video-ChatGPT, LLAVIDAL or SKI as a SKI-LVLM that needs no training.

    `weights` is their `mm_projector.bin` or a `.safetensors` of it. Nothing in it is executed. The model gets the video
    projector and, where the file has them, the trained start and end token around the video tokens, unless `delimited`
    is False. Other content is ignored, with a line in the log: other words' embeddings, which are those of the language
    model, and the projectors of skeletons and objects, which inference from video alone does not use.

    Paper: Table 3, first row.
    Deviation: their system message is Video-ChatGPT's own where ours is Vicuna's, and clips with fewer than
    `num_frames` frames have fewer temporal tokens instead of zeros. The tokenizer of their training (transformers
    before 4.34, not the fast one) dropped white space around added tokens, so the line break between the question and
    the start token, which is one token of our prompt, is none of theirs. Later Llama tokenizers add a space piece
    between the end token and "ASSISTANT:". Neither their training has it nor do we.

    Raises:
        PublishedWeightsError: the file is not there, is damaged or holds more than tensors, has no video projector or
            two different ones, or one for another language model or tower.
        ValueError: the language model or the tower cannot be loaded.
    """
    if not weights.is_file():
        raise PublishedWeightsError(f"{weights}: no such file; expected mm_projector.bin or a .safetensors of it")
    published = read_published(weights)
    tensors = video_projector_of(published, weights)
    tower = load_vision_tower(vision_tower, num_frames=num_frames, device="cpu", dtype=torch.float32)
    model = SkiLvlm.build(
        base_llm=base_llm,
        token_widths={"video": tower.width},
        projectors={"video": ProjectorSettings(_KINDS[tuple(sorted(tensors))])},
        manifest={
            "video": {"tower": vision_tower, "digest": tower.digest, "num_frames": num_frames, "framing": "whole"}
        },
        dtype=dtype,
    )
    try:
        _load_layers(cast(Projector, model.projectors["video"]), tensors)
        vocabulary = cast(nn.Embedding, model.llm.get_input_embeddings()).weight
        delimiters = delimiters_of(published, vocabulary=vocabulary) if delimited else None
    except PublishedWeightsError as error:
        raise PublishedWeightsError(
            f"{weights} does not fit between {vision_tower} (width {tower.width}) and {base_llm} (width "
            f"{model.config.llm_width}): {error}; give the tower and the language model that it was trained with"
        ) from error
    if delimiters is not None:
        model.delimit("video", delimiters)
    if ignored := [name for name in published if not (_VIDEO.fullmatch(name) or _EMBEDDINGS.fullmatch(name))]:
        logger.warning("%s: only what video needs is used; ignored are %s", weights, ", ".join(ignored[:20]))
    return model.eval()


def video_projector_of(published: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Return the video projector's tensors by their last names: `weight` and `bias`, numbered for an MLP.

    Raises:
        PublishedWeightsError: there is none, only a part of one, or one name stands for two different tensors.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if not (match := _VIDEO.fullmatch(name)):
            continue
        if match[1] in tensors and not torch.equal(tensors[match[1]], tensor):
            raise PublishedWeightsError(f"{file} holds two different video projectors, one of them in {name}")
        tensors[match[1]] = tensor
    if tuple(sorted(tensors)) not in _KINDS:
        raise PublishedWeightsError(
            f"{file}: of a video projector found {sorted(tensors) or 'nothing'} (its names start with "
            f"{sorted(published)[:5]}); expected mm_projector.weight and mm_projector.bias, or the four of an MLP"
        )
    return tensors


def delimiters_of(published: Mapping[str, Tensor], *, vocabulary: Float[Tensor, "V K"]) -> Float[Tensor, "2 K"] | None:
    """Return the video's trained start and end token from a released table of embeddings, None without.

    Behind the V words of the language model Video-ChatGPT's table has <vid_patch>, <vid_start>, <vid_end>. That of
    LLAVIDAL and SKI has three patches, then start and end of video, object and pose, or the three patches alone. Some
    files hold just the start and end tokens. The log names the rows.

    Assumption: a file with the projector of another modality and V + 3 rows has LLAVIDAL's three patches alone.

    Raises:
        PublishedWeightsError: the table is of another size, or there are two different ones.
    """
    tables = {name: tensor for name, tensor in published.items() if _EMBEDDINGS.fullmatch(name)}
    if not tables:
        logger.warning("start and end token: none in the file")
        return None
    (name, table), *further = tables.items()
    if different := [other for other, tensor in further if not torch.equal(tensor, table)]:
        raise PublishedWeightsError(f"there are two different tables of embeddings, {name} and {different[0]}")
    words, width = vocabulary.shape
    first = {2: 0, 6: 0, words + 3: words + 1, words + 9: words + 3}.get(len(table))
    if first is None or table.shape[1:] != (width,):
        raise PublishedWeightsError(
            f"its embeddings are {tuple(table.shape)}, expected {words + 3} (Video-ChatGPT) or {words + 9} (LLAVIDAL, "
            f"SKI) rows of {width}"
        )
    projectors = [name for name in published if _ANY_PROJECTOR.fullmatch(name) and not _VIDEO.fullmatch(name)]
    if len(table) == words + 3 and projectors:
        logger.warning(
            "start and end token: none in the file, since with %s the last three rows of %s are patches of video, "
            "object and pose",
            projectors[0],
            name,
        )
        return None
    logger.warning("start and end token: rows %d and %d of %s", first, first + 1, name)
    return table[first : first + 2].clone()


def load_video_projector(source: str, projector: Projector) -> None:
    """Copy a published video projector into T_v, strictly.

    `source` is a file (`mm_projector.bin`, `.safetensors`) or the hub id or folder of a LLaVA-style checkpoint that
    holds `model.mm_projector.*` among its weights, such as mmaaz60/LLaVA-7B-Lightening-v1-1, from which the authors
    start.

    Raises:
        ValueError: no projector in `source`, or one of another shape.
    """
    file = _weights_file(source)
    tensors = video_projector_of(read_published(file), file)
    try:
        _load_layers(projector, tensors)
    except PublishedWeightsError as error:
        raise PublishedWeightsError(
            f"{source}: {error}; choose the LLM and vision tower that projector was trained for, or leave "
            "--video_projector out"
        ) from error


def _load_layers(projector: Projector, tensors: Mapping[str, Tensor]) -> None:
    load_places(projector.layers, tensors, [Place((name,), (name,)) for name in tensors])


def _weights_file(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    from transformers.utils import cached_file

    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        index_file = cached_file(source, index, _raise_exceptions_for_missing_entries=False)
        if index_file:
            weight_map = read_json(Path(index_file))["weight_map"]
            shard = next((file for name, file in weight_map.items() if _VIDEO.fullmatch(name)), None)
            if shard is None:
                raise PublishedWeightsError(f"{source}: no mm_projector among its weights; leave --video_projector out")
            return Path(str(cached_file(source, shard)))
    for whole in ("mm_projector.bin", "model.safetensors", "pytorch_model.bin"):
        weights_file = cached_file(source, whole, _raise_exceptions_for_missing_entries=False)
        if weights_file:
            return Path(weights_file)
    raise PublishedWeightsError(
        f"{source}: no weights; expected mm_projector.bin, a .safetensors file or a LLaVA checkpoint"
    )
