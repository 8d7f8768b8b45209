"""What no test may rest on, looked for in the syntax trees of all tests: ports, deadlines, pauses, other tests."""

import ast
import re
from pathlib import Path

import pytest

from tests.cases.command_case import HANG

FILES = sorted(Path(__file__).parents[1].rglob("*.py"))
STARTERS = ("subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.call")
ALLOWED = {
    "command_case.py": {"port", "process", "sleep"},
    "llm_server.py": {"sleep"},  # the double's own pace
    "test_client.py": {"timeout"},  # a server that never answers
    "test_judge.py": {"timeout"},
    "test_budget.py": {"sleep"},  # threads overlap, and nothing rests on how many do
    "test_shell.py": {"port"},  # it looks at a port, it does not open one
    "test_test_rules.py": {"port"},
    "test_tables.py": {"process"},  # a child that outlives its parent
}


def breaches(tree):
    """Yield what rests on a port, a deadline or a pause, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in STARTERS:
                yield "process", node.lineno
            if called == "time.sleep":
                yield "sleep", node.lineno
        named = [(node.arg, node.value)] if isinstance(node, ast.keyword) else []
        if isinstance(node, ast.Dict):
            named = [(key.value, value) for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)]
        for name, value in named:
            is_short = any(isinstance(part, ast.Constant) and part.value != HANG for part in ast.walk(value))
            if name == "timeout" and is_short:
                yield "timeout", value.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--master_port"):
            yield "port", node.lineno
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", node.module or ""):
            yield "test", node.lineno


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_test_rests_on_a_port_a_deadline_a_pause_or_another_test(path):
    allowed = ALLOWED.get(path.name, ())
    forbidden = [(rule, line) for rule, line in breaches(ast.parse(path.read_text())) if rule not in allowed]
    assert not forbidden, "start processes, take ports and wait with command_case, share code in tests/cases"


def test_the_rules_see_what_they_forbid():
    text = """
run(["deepspeed", "--master_port=29618"])
subprocess.run(command, timeout=300)
time.sleep(0.1)
from tests.commands.test_chat import home
"""
    assert {rule for rule, _ in breaches(ast.parse(text))} == {"port", "process", "timeout", "sleep", "test"}
