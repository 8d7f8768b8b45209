import base64
import io
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_curation.captioning import local_models, vision_models
from data_curation.captioning.captioner import Captioner, CaptionerSettings, CroppedClip
from data_curation.captioning.frame_choice import frames_choice
from data_curation.captioning.open_captioner import open_captioner
from data_curation.captioning.vision_pool import Loading
from data_curation.ledger import Failed, Rejected
from data_curation.prompts import CAPTION_PROMPT, SEVERAL_FRAMES, prompt_hash
from ski_lvlm.servers.client import Reply
from tests.cases.asking_case import asker_of
from tests.cases.captioner_case import PATCHES, cogvlm_double, tiny_llava
from tests.cases.command_case import HANG, until
from tests.cases.curation_case import action
from tests.cases.llm_server import Answer, chat_double
from tests.cases.video_case import write_drawing

NAME = "S001C001P001R001A010"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PYTHON = os.environ.get("SKI_COGVLM_PYTHON", sys.executable)  # .venv-cogvlm/bin/python, to test that environment


def opened(name, *, asker=None, frames="middle", trust_remote_code=False, revision=None, python=sys.executable):
    loading = Loading(trust_remote_code, revision, python)
    return open_captioner(name, CaptionerSettings(frames_choice(frames), loading, asker))


def filmed(path, colour):
    """A clip of one colour; its skeleton is noise."""
    write_drawing(path, width=224, height=224, draw=lambda picture, index: picture.__setitem__(..., colour))
    joints = np.random.default_rng(0).normal(0, 0.01, (30, 1, 7, 3)).astype(np.float32)
    return CroppedClip(NAME, path, action(10), lambda: joints)


@pytest.fixture
def clip(tmp_path):
    """Its frame number k has the grey 20 k."""
    grey = filmed(tmp_path / "crop.mp4", 0)
    write_drawing(grey.crop, width=224, height=224, draw=lambda picture, index: picture.__setitem__(..., 20 * index))
    return grey


@pytest.fixture(scope="module")
def cogvlm_folder(tmp_path_factory):
    return cogvlm_double(tmp_path_factory.mktemp("models") / "cogvlm")


@pytest.fixture(scope="module")
def cogvlm(cogvlm_folder):
    """CogVLM's test double, in the real processes of a machine with two GPUs."""
    folder = cogvlm_folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vision_models, "COGVLM", str(folder))
        patch.setattr(vision_models, "COGVLM_TOKENIZER", str(folder / "tokenizer"))
        patch.setattr(local_models, "visible_gpus", lambda python: ["0", "1"])
        captioner = opened("cogvlm", trust_remote_code=True, python=PYTHON)
    with captioner:
        yield captioner


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A tiny LLaVA that gets two frames of each clip."""
    folder = tiny_llava(tmp_path_factory.mktemp("models") / "llava")
    with opened(f"hf:{folder}", frames="2") as captioner:
        yield captioner


class Asked:
    """In an `Asker`'s place: keeps what it is asked, and always says the same."""

    model = "openai:double"

    def __init__(self, text="A man claps.", cut=False):
        self.reply, self.asked = Reply(text, 3, 2, 0.1, cut), []

    def ask(self, clip, chat):
        self.asked.append((clip, chat.messages, chat.max_tokens))
        return self.reply


def pictures(message):
    return [np.asarray(Image.open(io.BytesIO(data))) for data in message.images]


def test_kinematics_asks_for_the_skeleton_only(clip, tmp_path):
    captioner = opened("kinematics")
    said = captioner.describe(CroppedClip(NAME, tmp_path / "absent.mp4", clip.action, clip.joints))
    assert "clapping" in said.text
    assert said[1:] == (0, 0, False)
    assert captioner.version == opened("kinematics", frames="motion").version


def test_kinematics_rejects_a_skeleton_without_anybody(clip):
    nobody = CroppedClip(NAME, clip.crop, clip.action, lambda: np.full((5, 1, 7, 3), np.nan, np.float32))
    with pytest.raises(Rejected, match="nobody is in the skeleton"):
        opened("kinematics").describe(nobody)


def test_a_server_gets_the_papers_prompt_and_the_middle_frame(clip, tmp_path):
    with chat_double(plan=lambda request: Answer("A man \n  claps. ")) as double:
        asker = asker_of(double.url, tmp_path / "out")
        captioner = opened("openai:llama3.1", asker=asker)
        assert captioner.describe(clip) == ("A man claps.", 3, 2, False)
    assert captioner.asker is asker and captioner.model == "openai:llama3.1" and captioner.threads is None
    text, image = double.requests[-1]["messages"][0]["content"]
    assert text["text"] == CAPTION_PROMPT
    picture = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].split(",")[1])))
    assert picture.size == (224, 224)
    assert abs(np.asarray(picture).mean() - 120) < 5  # frame 6 of 12


def test_several_frames_go_in_order_with_a_word_of_explanation(clip):
    asker = Asked()
    opened("ollama:llava", asker=asker, frames="3").describe(clip)
    ((name, (message,), max_tokens),) = asker.asked
    assert (name, max_tokens) == (NAME, 256)
    assert message.text == SEVERAL_FRAMES.format(count=3) + CAPTION_PROMPT
    assert [round(picture.mean() / 20) for picture in pictures(message)] == [2, 6, 10]


def test_another_choice_of_frames_makes_captions_anew_and_the_papers_is_always_the_same():
    versions = [
        opened("openai:x", asker=Asked(), frames=frames).version for frames in ("middle", "1", "2", "3", "motion")
    ]
    assert versions[0] == versions[1] == prompt_hash(CAPTION_PROMPT)
    assert len(set(versions)) == 4


def test_silence_is_a_reject_that_tells_what_it_cost(clip):
    with pytest.raises(Rejected, match="said nothing") as rejected:
        opened("openai:x", asker=Asked(" \n ")).describe(clip)
    assert rejected.value.facts == {"prompt_tokens": 3, "completion_tokens": 2}


def test_an_answer_that_was_cut_ends_with_a_whole_sentence_or_is_rejected(clip):
    cut = opened("openai:x", asker=Asked("A man sits.\nHe then li", cut=True)).describe(clip)
    assert cut == ("A man sits.", 3, 2, True)
    whole = opened("openai:x", asker=Asked("A man sits. He then li")).describe(clip)
    assert whole == ("A man sits. He then li", 3, 2, False)
    with pytest.raises(Rejected, match="did not end one sentence in 256 tokens"):
        opened("openai:x", asker=Asked("A man who", cut=True)).describe(clip)


@pytest.mark.parametrize("frames", ["middle", "motion"])
def test_a_damaged_crop_is_left_to_the_next_run(clip, frames):
    clip.crop.write_bytes(clip.crop.read_bytes()[:500])
    with pytest.raises(Failed, match="crop.mp4.*delete the crop"):
        opened("openai:x", asker=Asked(), frames=frames).describe(clip)


@pytest.mark.parametrize("name", ["blip", "hf:", "hf", "", "cogvlm:7b"])
def test_an_unknown_captioner_is_refused(name):
    with pytest.raises(ValueError, match="unknown captioner .*; expected one of kinematics, facts, cogvlm, hf:MODEL"):
        opened(name)


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
        opened("cogvlm", **options)
    if options["trust_remote_code"]:
        with pytest.raises(ValueError, match=message):
            opened("hf:who/knows", **options)
    vision_models.check_trust(vision_models.COGVLM, trust_remote_code=True, revision=COMMIT)


def test_cogvlm_takes_one_picture():
    with pytest.raises(ValueError, match="cogvlm takes one picture, but --frames is 4"):
        opened("cogvlm", trust_remote_code=True, revision=COMMIT, frames="4")


@pytest.mark.slow
def test_cogvlms_call_contract_and_its_middle_frame(cogvlm, clip):
    said = cogvlm.describe(clip)  # grey 120: dark
    assert said.text.startswith("clapping darkly") and not said.cut
    assert said[1:3] == (len(CAPTION_PROMPT.split()), 4)
    assert cogvlm.model.startswith("cogvlm@") and cogvlm.version == prompt_hash(CAPTION_PROMPT)
    assert "490x490" in cogvlm.note  # for the data set's card


@pytest.mark.slow
def test_two_gpus_share_the_clips(cogvlm, tmp_path):
    clip = filmed(tmp_path / "green.mp4", (0, 255, 0))
    assert cogvlm.threads == 2
    with ThreadPoolExecutor(cogvlm.threads) as threads:
        said = list(threads.map(lambda _: cogvlm.describe(clip).text, range(16)))
    assert set(said) == {"clapping brightly 0", "clapping brightly 1"}


@pytest.mark.slow
def test_a_killed_process_fails_its_clip_only_and_is_replaced(cogvlm, cogvlm_folder, clip, tmp_path):
    long = filmed(tmp_path / "red.mp4", (255, 0, 0))
    before = workers()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(cogvlm.describe, long)
        until(cogvlm_folder.with_name("cogvlm.begun").exists)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Failed, match="the captioner's process on GPU [01] ended with code -9"):
            waiting.result(HANG)
    with pytest.raises(Failed, match="ended with code -9"):
        cogvlm.describe(clip)  # the other one, which was idle
    assert cogvlm.describe(clip).text.startswith("clapping darkly")


def workers():
    """The double's processes among this process's children."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = {int(pid) for children in tasks for pid in children.read_text().split()}
    return [pid for pid in pids if b"cogvlm" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.slow
def test_any_image_text_model_through_its_chat_template(llava, clip):
    said = llava.describe(clip)
    words = len((SEVERAL_FRAMES.format(count=2) + CAPTION_PROMPT).split())
    assert said.prompt_tokens == words + 2 * PATCHES + 1  # the template's "Answer:"
    assert said.completion_tokens == 256 and said.cut
    assert said.text == " ".join(51 * ["A man claps loudly now."])  # 256 tokens were these, and one half sentence
    assert llava.model.startswith("hf:llava@") and llava.threads == 1


def test_a_model_is_known_by_its_files_wherever_they_lie(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place / "model").mkdir(parents=True)
        (tmp_path / place / "model" / "config.json").write_text("{}")
    here, there = (local_models._identity(str(tmp_path / place / "model"), None) for place in ("here", "there"))
    assert here == there and here.startswith("model@")
    (tmp_path / "there" / "model" / "config.json").write_text("{ }")
    assert local_models._identity(str(tmp_path / "there" / "model"), None) != here
    assert local_models._identity("org/model", COMMIT) == f"org/model@{COMMIT}"


@pytest.mark.slow
def test_a_model_that_is_not_there_stops_the_run_in_one_line(monkeypatch):
    monkeypatch.setattr(local_models, "visible_gpus", lambda python: [])
    with pytest.raises(ValueError, match="no/such: the captioner cannot start: .*connect") as stopped:
        opened("hf:no/such")
    assert "\n" not in str(stopped.value) and not isinstance(stopped.value, Failed)


@pytest.mark.slow
def test_a_captioner_closes_itself_even_after_an_error():
    closed = []
    with pytest.raises(KeyError), Captioner("m", "v", lambda clip: None, close=lambda: closed.append(True)):
        raise KeyError
    assert closed == [True]
