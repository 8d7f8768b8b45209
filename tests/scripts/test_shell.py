"""Shell scripts, DeepSpeed settings and pinned packages: what no import checks."""

import json
import re
import shutil

import pytest

from tests.cases import command_case
from tests.cases.command_case import ENVIRONMENT, ROOT

pytestmark = pytest.mark.slow


SHELL = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))
# of environments apart, so pinned differently
COGVLM, VLLM = (ROOT / "scripts" / f"{name}_requirements.txt" for name in ("cogvlm", "vllm"))
NEEDED = {"torch", "transformers", "accelerate", "deepspeed", "peft", "sentencepiece", "openai", "decord", "ollama"}


def bash(script, *arguments, **environment):
    return command_case.run(["bash", "-c", script, *arguments], env=environment or ENVIRONMENT)


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_a_script_is_valid_bash_that_stops_at_errors(script):
    checked = command_case.run(["bash", "-n", str(script)])
    assert checked.returncode == 0, checked.stderr
    if script.name != "environment.sh":  # sourced by those that do
        assert "set -euo pipefail" in script.read_text()


def interpreter(folder, *, version):
    """Make an executable that answers --version and fails every program."""
    file = folder / "python"
    file.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("entry", ["scripts/environment.sh", "scripts/quickstart.sh", "scripts/test.sh"])
def test_an_old_interpreter_is_refused_with_the_remedy(tmp_path, entry):
    old = interpreter(tmp_path, version="3.9.2")
    process = bash(
        f"bash {ROOT / entry}; echo code $?", PYTHON=str(old), PATH="/usr/bin:/bin", RUN=str(tmp_path / "run")
    )
    assert "error: found Python 3.9.2, expected Python 3.11 or newer; name one with PYTHON=" in process.stderr
    assert process.stdout == "code 2\n"
    assert not (tmp_path / "run").exists()


def test_an_interpreter_that_is_not_there_is_refused_too(tmp_path):
    process = bash(f"bash {ROOT / 'scripts' / 'environment.sh'}", PYTHON=str(tmp_path / "none"), PATH="/usr/bin:/bin")
    assert process.returncode == 2 and "expected Python 3.11 or newer" in process.stderr


@pytest.fixture(params=["cogvlm", "vllm"])
def apart(request):
    """Name an environment of its own, for programs that need other packages."""
    return request.param


@pytest.fixture
def copied(tmp_path, apart):
    """Copy the files of the environment, and make an interpreter that logs its arguments."""
    (tmp_path / "scripts").mkdir()
    for name in (f"{apart}_environment.sh", f"{apart}_requirements.txt"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n'
        f'[ "$2" = venv ] && mkdir -p .venv-{apart}/bin && cp {python} .venv-{apart}/bin/python\nexit 0\n'
    )
    python.chmod(0o755)
    return tmp_path


def test_an_environment_apart_is_made_once_and_again_when_its_packages_change(copied, apart):
    script, flag = f"bash {copied}/scripts/{apart}_environment.sh", {"cogvlm": "captioner"}.get(apart, apart)
    for _ in range(2):
        process = bash(script, PYTHON=str(copied / "python"), PATH="/usr/bin:/bin")
        assert process.stdout == f"ready: --{flag}_python {copied}/.venv-{apart}/bin/python\n", process.stderr
    listed = f"-r scripts/{apart}_requirements.txt"
    assert (copied / "log").read_text().count(listed) == 1
    with (copied / "scripts" / f"{apart}_requirements.txt").open("a") as file:
        file.write("ninja==1\n")
    bash(script, PYTHON=str(copied / "python"), PATH="/usr/bin:/bin")
    assert (copied / "log").read_text().count(listed) == 2


def test_cogvlms_environment_wants_the_python_that_its_torch_has(tmp_path):
    other = interpreter(tmp_path, version="3.12.1")
    process = bash(f"bash {ROOT / 'scripts' / 'cogvlm_environment.sh'}", PYTHON=str(other), PATH="/usr/bin:/bin")
    assert process.returncode == 2
    assert "error: found Python 3.12.1, expected Python 3.11; name one with PYTHON=" in process.stderr


@pytest.mark.parametrize(("file", "stage"), [("zero2.json", 2), ("scripts/zero3.json", 3)])
def test_deepspeed_settings_leave_optimizer_and_schedule_to_the_recipe(file, stage):
    settings = json.loads((ROOT / file).read_text())
    assert settings["zero_optimization"]["stage"] == stage
    assert not {"optimizer", "scheduler"} & set(settings)
    # "auto" is filled in from the command line, so that --batch_size and --bf16 have one source
    for name in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        assert settings[name] == "auto"


def packages(file):
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("file", [*REQUIREMENTS, COGVLM, VLLM], ids=lambda path: path.name)
def test_every_package_is_pinned_exactly(file):
    assert packages(file)
    for line in packages(file):
        assert re.fullmatch(r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?==[0-9][0-9A-Za-z.+]*", line), f"{file.name}: {line}"


@pytest.mark.parametrize("files", [REQUIREMENTS, [COGVLM], [VLLM]], ids=["main", "cogvlm", "vllm"])
def test_no_package_has_two_pins(files):
    names = [re.split(r"[=\[]", line)[0].lower().replace("_", "-") for file in files for line in packages(file)]
    assert len(names) == len(set(names))


def test_the_main_requirements_serve_the_whole_job():
    pinned = {line.split("==")[0] for line in packages(ROOT / "requirements.txt")}
    assert not NEEDED - pinned


@pytest.fixture
def stage(tmp_path):
    """Return a function that runs lines of bash in a shell with quickstart.sh's stage()."""
    cut = ["sed", "-n", "/^[a-z]*() {/,/^}/p", str(ROOT / "scripts" / "quickstart.sh")]
    functions = command_case.run(cut).stdout
    assert "stage() {" in functions and functions.endswith("}\n")
    (tmp_path / "done").mkdir()

    def run(lines):
        return bash(f'set -euo pipefail\nrun="$1"\n{functions}\n{lines}', "quickstart", str(tmp_path))

    return run


def test_a_stage_runs_once_and_is_skipped_afterwards(stage, tmp_path):
    line = f"stage one eval 'echo ran >>{tmp_path}/log'"
    first, second = stage(line), stage(line)
    assert (tmp_path / "log").read_text() == "ran\n"
    assert "▶ one" in first.stdout and "echo ran" in first.stdout
    assert second.stdout == "✓ one (done before)\n"


def test_a_stage_runs_again_when_its_command_has_changed(stage, tmp_path):
    for word in ("a", "b", "b", "a"):
        stage(f"stage one eval 'echo {word} >>{tmp_path}/log'")
    assert (tmp_path / "log").read_text().split() == ["a", "b", "a"]


def test_a_stage_runs_again_when_one_before_it_has_changed(stage, tmp_path):
    for word in ("first", "second"):
        stage(f"stage one true {word}\nstage two eval 'echo ran >>{tmp_path}/log'")
    assert (tmp_path / "log").read_text() == "ran\nran\n"


def test_a_failed_stage_stops_the_run_and_is_tried_again(stage, tmp_path):
    lines = f"stage one test -e {tmp_path}/data\nstage two touch {tmp_path}/reached"
    failed = stage(lines)
    assert failed.returncode != 0
    assert not (tmp_path / "reached").exists() and not list((tmp_path / "done").iterdir())
    (tmp_path / "data").touch()
    assert stage(lines).returncode == 0
    assert {file.name for file in (tmp_path / "done").iterdir()} == {"one", "two"}


def test_the_wall_time_of_a_stage_is_kept_in_seconds(stage, tmp_path):
    stage("stage one sleep 0.3")
    stage("stage one sleep 0.3\nstage two true")
    times = [json.loads(line) for line in (tmp_path / "timings.jsonl").read_text().splitlines()]
    assert [time["stage"] for time in times] == ["one", "two"]
    assert 0.2 <= times[0]["seconds"] < 3 and times[1]["seconds"] < 1


def test_a_command_s_arguments_reach_it_whole(stage, tmp_path):
    stage(f'stage one touch "{tmp_path}/two words"')
    assert (tmp_path / "two words").exists()


def test_each_run_has_a_port_of_its_own_that_is_no_part_of_the_stage(stage, tmp_path):
    stub = tmp_path / "deepspeed"
    stub.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n')
    stub.chmod(0o755)
    lines = f'PATH="{tmp_path}:$PATH"\nstage one deepspeed --num_gpus 1 train.py'
    assert "  deepspeed --num_gpus 1 train.py\n" in stage(lines).stdout
    assert stage(lines).stdout == "✓ one (done before)\n"
    assert re.fullmatch(r"--master_port [0-9]+ --num_gpus 1 train.py\n", (tmp_path / "log").read_text())
