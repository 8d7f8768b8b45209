"""`python -m ski_lvlm.chat` as a process, with a tiny model."""

import os
import pty
import sys
from pathlib import Path

import pytest
import torch

from ski_lvlm import from_pretrained
from ski_lvlm.chat import main
from ski_lvlm.encoders.vision_tower import load_vision_tower
from ski_lvlm.llm.answer_text import AnswerStreamer
from ski_lvlm.llm.sampling import generation_settings
from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.videos.decoding import read_for_tower
from tests.cases.command_case import ENVIRONMENT, HANG, ROOT, run, started
from tests.cases.tiny_llm import tiny_llm
from tests.cases.video_case import numbered, write_audio, write_video
from tests.cases.vision_case import tiny_tower

pytestmark = pytest.mark.usefixtures("in_fp32")

FRAMES, LONGEST = 4, 12
QUESTIONS = ["What is the person doing?", "Why?"]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("chat")
    tiny_tower(root / "tower")
    tower = load_vision_tower(str(root / "tower"), num_frames=FRAMES, device="cpu")
    manifest = {"video": {"tower": str(root / "tower"), "digest": tower.digest, "num_frames": FRAMES}}
    torch.manual_seed(0)
    model = SkiLvlm.build(base_llm=str(tiny_llm(root / "llm")), token_widths={"video": tower.width}, manifest=manifest)
    model.save_pretrained(root / "model")
    write_video(root / "clip.mp4", numbered(20))
    return root


@pytest.fixture(scope="module")
def expected(case):
    lvlm = LoadedLvlm(SkiLvlm.from_pretrained(case / "model"))
    tokens = lvlm.encode(read_for_tower(case / "clip.mp4", num_frames=FRAMES, side=28))
    return [lvlm.answer([tokens], [question], max_new_tokens=LONGEST)[0].text for question in QUESTIONS]


def arguments(case, *options):
    return [str(case / "clip.mp4"), "--model", str(case / "model"), "--max_new_tokens", str(LONGEST), *options]


def process(*args, stdin="", **options):
    command = [sys.executable, "-m", "ski_lvlm.chat", *args]
    return run(command, stdin=stdin, cwd=ROOT, **options)


def flat(text):
    return "".join(text.split())


@pytest.mark.slow
def test_help_does_not_wait_for_torch():
    result = process("--help", env=ENVIRONMENT | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0 and "python -m ski_lvlm.chat" in result.stdout and "--question" in result.stdout
    assert "import time" in result.stderr and "torch" not in result.stderr


@pytest.mark.slow
def test_the_package_is_imported_at_once_and_loads_the_model_when_asked(case, expected):
    code = "import sys, ski_lvlm; from ski_lvlm import from_pretrained; print('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], cwd=ROOT).stdout.strip() == "False"
    lvlm = from_pretrained(case / "model")
    answers = [lvlm.generate(str(case / "clip.mp4"), question, max_new_tokens=LONGEST) for question in QUESTIONS]
    assert answers == expected


@pytest.mark.slow
def test_one_question_is_answered_and_the_command_ends(case, expected, capsys):
    assert main(arguments(case, "--question", QUESTIONS[0])) == 0
    printed = capsys.readouterr().out
    assert flat(printed).startswith(flat(expected[0])) and ">" not in printed.replace(expected[0], "")


def test_an_empty_question_is_refused_and_not_taken_for_none(case):
    with pytest.raises(ValueError, match="--question is empty; give a question, or drop"):
        main(arguments(case, "--question", " "))


def test_a_placeholder_typed_into_the_terminal_ends_nothing(case, expected, capsys):
    assert main(arguments(case, "--question", f"<video>\n{QUESTIONS[0]}")) == 0
    assert flat(capsys.readouterr().out).startswith(flat(expected[0]))


def test_it_keeps_asking_until_an_empty_line_and_forgets_what_was_asked(case, expected, monkeypatch, capsys):
    lines = iter([QUESTIONS[1], QUESTIONS[0], QUESTIONS[1], "  "])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    assert main(arguments(case)) == 0
    printed, place = flat(capsys.readouterr().out), 0
    for answer in (expected[1], expected[0], expected[1]):
        place = printed.index(flat(answer), place) + len(flat(answer))


def test_the_video_is_looked_at_once(case, monkeypatch, capsys):
    looks = []
    monkeypatch.setattr(
        "ski_lvlm.lvlm.inference.read_for_tower", lambda *a, **k: looks.append(a) or read_for_tower(*a, **k)
    )
    lines = iter([*QUESTIONS, ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    main(arguments(case))
    assert len(looks) == 1


def test_an_answer_that_ran_into_the_limit_says_so(case, capsys):
    assert main([*arguments(case, "--question", QUESTIONS[0]), "--max_new_tokens", "1"]) == 0
    assert "[cut: --max_new_tokens 1]" in capsys.readouterr().out


def test_control_c_stops_an_answer_and_then_the_command(case, expected, monkeypatch, capsys):
    answer, lines = SkiLvlm.answer, iter([*QUESTIONS, KeyboardInterrupt])

    def asked(_):
        if (line := next(lines)) is KeyboardInterrupt:
            raise line
        return line

    def interrupted(model, videos, questions, **settings):
        if questions == QUESTIONS[:1]:
            raise KeyboardInterrupt
        return answer(model, videos, questions, **settings)

    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr(SkiLvlm, "answer", interrupted)
    assert main(arguments(case)) == 0
    printed = flat(capsys.readouterr().out)
    assert printed.startswith("[stopped]") and flat(expected[1]) in printed
    assert main(arguments(case, "--question", QUESTIONS[0])) == 130


def test_words_come_before_the_answer_is_whole(case, expected, monkeypatch, capsys):
    output = []
    put = AnswerStreamer.put

    def watched(streamer, token):
        put(streamer, token)
        output.append(capsys.readouterr().out)

    monkeypatch.setattr(AnswerStreamer, "put", watched)
    main(arguments(case, "--question", QUESTIONS[0]))
    early = "".join(output[:-1])
    assert " " in expected[0].strip(), "the answer has one word: the test can see nothing"
    assert early and expected[0].startswith(early.strip()) and len(early) < len(expected[0])


@pytest.mark.slow
def test_a_real_process_on_a_terminal_ends_with_control_d(case):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "ski_lvlm.chat", *arguments(case)]
    with started(command, stdin=child, stdout=child, stderr=child, cwd=ROOT) as chat:
        os.close(child)
        os.write(parent, f"{QUESTIONS[0]}\n".encode() + b"\x04")
        output = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:  # the other side is gone
                break
            if not part:
                break
            output += part
        assert chat.wait(timeout=HANG) == 0, output.decode()
    assert output.count(b"> ") >= 2 and len(output) > len(QUESTIONS[0]) + 6


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["missing", "audio", "folder"])
def test_a_video_that_cannot_be_read_is_one_line(case, tmp_path, wrong):
    path = tmp_path / f"{wrong}.mp4"
    {"missing": lambda p: p, "audio": write_audio, "folder": Path.mkdir}[wrong](path)
    with pytest.raises(ValueError, match=rf"{wrong}\.mp4: (no such|holds no video)"):
        main([str(path), *arguments(case)[1:], "--question", "Why?"])


def test_a_folder_without_a_model_is_named(case, tmp_path):
    with pytest.raises(ValueError, match="no model.safetensors"):
        main([str(case / "clip.mp4"), "--model", str(tmp_path), "--question", "Why?"])


def test_sampling_leaves_nothing_to_the_language_models_own_choices():
    from argparse import Namespace

    settings = generation_settings(Namespace(max_new_tokens=5, temperature=0.5, top_p=0.9, seed=1))
    assert settings == {"max_new_tokens": 5, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "top_k": 0}
