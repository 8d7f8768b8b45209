"""What a clip's name says is the data set's to know: no other code takes NTU's names apart."""

import ast
import re

import pytest

from tests.cases.command_case import ROOT

ROOMS = ("ski_lvlm", "data_curation", "eval", "scripts", "benchmarks")
CODE = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
CODE = [path for path in CODE if not path.is_relative_to(ROOT / "ski_lvlm" / "datasets")]
# A regular expression, or a format, of a letter before three digits twice: S\d{3}C\d{3}, S([0-9]{3})C…, S{:03}C{:03}
PATTERN = re.compile(r"[A-Z]\(?(?:\?P<\w+>)?(\\d|\[0-9\])\{3\}.{0,3}[A-Z]|[A-Z]\{[^{}]*:03d?\}[A-Z]")


def breaches(tree):
    """Yield each place that imports the parser of NTU's names, or spells their pattern."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ski_lvlm.datasets":
            yield from (alias.name for alias in node.names if alias.name == "ntu")
        elif isinstance(node, ast.ImportFrom) and node.module == "ski_lvlm.datasets.ntu":
            yield from (alias.name for alias in node.names if alias.name == "parse_name")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name == "ski_lvlm.datasets.ntu")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PATTERN.search(node.value):
            yield node.value
        elif isinstance(node, ast.JoinedStr) and PATTERN.search(ast.unparse(node)):
            yield ast.unparse(node)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_code_parses_ntu_s_names(path):
    assert not list(breaches(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "code",
    [
        "from ski_lvlm.datasets.ntu import ClipName, parse_name",
        "from ski_lvlm.datasets import ntu",
        "import ski_lvlm.datasets.ntu",
        r"NAME = re.compile(r'S(\d{3})C(\d{3})P')",
        r"NAME = re.compile('S[0-9]{3}C[0-9]{3}')",
        r"NAME = 'S(?P<setup>[0-9]{3})C(?P<camera>[0-9]{3})'",
        "name = f'S{setup:03}C{camera:03}P001'",
        "name = 'S{:03}C{:03}'.format(1, 2)",
    ],
)
def test_such_code_is_found(code):
    assert list(breaches(ast.parse(code)))


def test_making_a_name_by_its_class_is_fine():
    assert not list(breaches(ast.parse("from ski_lvlm.datasets.ntu import ClipName\nname = 'S001C001P001R001A001'")))
