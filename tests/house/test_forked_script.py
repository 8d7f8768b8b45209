"""Forks of tests/cases behave as the processes that they stand for."""

import json
import signal
import subprocess
import sys

import pytest

from tests.cases.command_case import ENVIRONMENT, ROOT, kill, started, until
from tests.cases.forked_script import ForkedScript

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, sys, threading
print(json.dumps([__name__, sys.argv, os.getcwd(), os.environ.get("MARK"), os.getsid(0) == os.getpid(), sys.path[0]]))
print("torch" in sys.modules, file=sys.stderr, flush=True)
if sys.argv[1] == "wait":
    threading.Event().wait()
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return str(tmp_path / "script.py")


def fork(*words, cwd, **more):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return ForkedScript(words, env=ENVIRONMENT | more, cwd=cwd, **pipes)


def test_a_fork_has_words_environment_folder_and_session_of_its_own(script, tmp_path):
    for code, mark in ((3, {"MARK": "one"}), (0, {})):
        process = fork(script, str(code), cwd=tmp_path, **mark)
        output, errors = process.communicate()
        expected = ["__main__", [script, str(code)], str(tmp_path), mark.get("MARK"), True, str(tmp_path)]
        assert json.loads(output) == expected and errors == "True\n" and process.returncode == code


def test_a_fork_is_killed(script, tmp_path):
    process = fork(script, "wait", cwd=tmp_path)
    until(lambda: process._printed[2].read())
    assert process.poll() is None
    kill(process)
    assert process.returncode == -signal.SIGKILL


def test_a_customized_start_belongs_to_one_fork(script, tmp_path):
    """As tests/hold does, which must hold no other script."""
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "sitecustomize.py").write_text("import os; os.environ['MARK'] = 'customized'")
    for more, mark in (({"PYTHONPATH": str(tmp_path / "custom")}, "customized"), ({}, None)):
        output, _ = fork(script, "0", cwd=tmp_path, **more).communicate()
        assert json.loads(output)[3] == mark


def test_scripts_that_import_long_are_forked_and_others_are_not():
    for name, kind in (("train_ski_vlm.py", ForkedScript), ("eval/score.py", subprocess.Popen)):
        with started([sys.executable, str(ROOT / name), "--help"], stdout=subprocess.DEVNULL) as process:
            assert isinstance(process, kind) and process.wait() == 0
