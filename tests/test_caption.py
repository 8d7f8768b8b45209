import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from data_curation import cogvlm
from data_curation.caption import Cropped, load_captioner
from data_curation.ledger import Failed, Rejected
from data_curation.prompts import CAPTION_PROMPT
from ski_lvlm.chat_client import ChatError
from tests.llm_server import Answer, chat_double
from tests.test_crop import write_video

NAME = "S001C001P001R001A010"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# A test double for CogVLM's repository: its call contract (build_conversation_input_ids, then generate with
# token_type_ids and nested images) on a model that answers with fixed tokens and checks what it is given.
REMOTE_CODE = """
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
        ids = torch.tensor(tokenizer.encode(query))
        (image,) = images
        assert image.mode == "RGB" and image.size == (224, 224) and history == []
        pixels = torch.tensor(list(image.resize((1, 1)).getdata())).float()
        return {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": 0 * ids + 1, "images": [pixels]}

    def generate(self, input_ids, token_type_ids, attention_mask, images, max_new_tokens, do_sample):
        assert input_ids.shape == token_type_ids.shape == attention_mask.shape and input_ids.ndim == 2
        assert images[0][0].dtype == self.weight.dtype and not do_sample and max_new_tokens == 256
        bright = int(images[0][0].mean() > 128)
        return torch.cat([input_ids, torch.tensor([[3, 4 + bright, 2]])], dim=1)
"""


@pytest.fixture
def clip(tmp_path):
    crop = write_video(
        tmp_path / "crop.mp4", width=224, height=224, draw=lambda picture, index: picture.__setitem__(..., 20 * index)
    )
    joints = np.random.default_rng(0).normal(0, 0.01, (30, 1, 25, 3)).astype(np.float32)
    return Cropped(NAME, crop, lambda: joints)


@pytest.fixture
def cogvlm_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "cogvlm"
    folder.mkdir()
    (folder / "modeling_double.py").write_text(REMOTE_CODE)
    auto_map = {"AutoConfig": "modeling_double.DoubleConfig", "AutoModelForCausalLM": "modeling_double.DoubleModel"}
    (folder / "config.json").write_text(
        json.dumps({"model_type": "cogvlm_double", "auto_map": auto_map, "architectures": ["DoubleModel"]})
    )
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, "clapping": 3, "darkly": 4, "brightly": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(folder)
    return folder


def test_kinematics_asks_for_the_skeleton_only(clip, tmp_path):
    captioner = load_captioner("kinematics")
    said = captioner.describe(clip.__class__(NAME, tmp_path / "absent.mp4", clip.joints))
    assert "clapping" in said.text
    assert said.prompt_tokens == said.completion_tokens == 0
    assert captioner.version == load_captioner("kinematics").version


def test_kinematics_rejects_a_skeleton_without_anybody(clip):
    nobody = Cropped(NAME, clip.crop, lambda: np.full((5, 1, 25, 3), np.nan, np.float32))
    with pytest.raises(Rejected, match="nobody is in the skeleton"):
        load_captioner("kinematics").describe(nobody)


def test_a_server_gets_the_papers_prompt_and_the_middle_frame(clip):
    with chat_double(plan=lambda request: Answer("A man \n  claps. ")) as double:
        captioner = load_captioner("openai:llama3.1", base_url=double.url + "/v1")
        said = captioner.describe(clip)
    assert said == ("A man claps.", 3, 2)
    text, image = double.requests[-1]["messages"][0]["content"]
    assert text["text"] == CAPTION_PROMPT
    picture = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].split(",")[1])))
    assert picture.size == (224, 224)
    assert abs(np.asarray(picture).mean() - 120) < 5  # frame 6 of 12


def test_ollama_gets_the_image_too(clip):
    with chat_double(plan=lambda request: Answer("A man claps.")) as double:
        assert load_captioner("ollama:llama3.1", base_url=double.url).describe(clip).text == "A man claps."
    assert base64.b64decode(double.requests[-1]["messages"][0]["images"][0]).startswith(b"\x89PNG")


def test_silence_is_a_reject_and_half_a_reply_a_failure(clip, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with chat_double(plan=lambda request: Answer("yes")) as double:
        captioner = load_captioner("openai:llama3.1", base_url=double.url + "/v1")
        double.plan = lambda request: Answer("  ")
        with pytest.raises(Rejected, match="said nothing"):
            captioner.describe(clip)
        double.plan = lambda request: Answer(body=b'{"choi')
        with pytest.raises(Failed, match="BadReply"):
            captioner.describe(clip)


def test_a_server_that_is_not_there_stops_before_any_work(monkeypatch):
    with pytest.raises(ChatError, match="cannot be reached"):
        load_captioner("openai:x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ValueError, match="unknown captioner 'blip'"):
        load_captioner("blip")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trust_remote_code": False, "revision": COMMIT}, "runs Python code from its repository"),
        ({"trust_remote_code": True, "revision": None}, "--revision is None; expected the 40-digit commit"),
        ({"trust_remote_code": True, "revision": "main"}, "--revision is 'main'"),
    ],
)
def test_strangers_code_runs_only_if_allowed_and_pinned(options, message):
    with pytest.raises(ValueError, match=message):
        load_captioner("cogvlm", **options)
    cogvlm.check_trust(cogvlm.MODEL, trust_remote_code=True, revision=COMMIT)


def test_cogvlms_call_contract_through_the_real_loading_code(cogvlm_folder, clip, monkeypatch):
    monkeypatch.setattr(cogvlm, "MODEL", str(cogvlm_folder))
    monkeypatch.setattr(cogvlm, "TOKENIZER", str(cogvlm_folder))
    captioner = load_captioner("cogvlm", trust_remote_code=True)
    assert captioner.threads == 1
    said = captioner.describe(clip)
    assert said.text == "clapping darkly"
    assert said.prompt_tokens > 10
    assert said.completion_tokens == 3
