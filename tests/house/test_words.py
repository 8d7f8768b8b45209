"""The words of the house: nouns for variables, one idea a sentence, no semicolons in what people read."""

import ast
import re

import pytest

from tests.cases.command_case import ROOT

CODE = [
    *ROOT.glob("*.py"),
    *(
        path
        for room in ("ski_lvlm", "data_curation", "eval", "scripts", "benchmarks")
        for path in (ROOT / room).rglob("*.py")
    ),
]
# fmt: off
NO_NOUNS = {
    "asked", "chosen", "drawn", "due", "found", "given", "gone", "held", "kept", "known", "made", "meant",
    "moved", "named", "said", "seen", "sent", "shown", "taken", "told", "wanted", "written", "few", "many",
    "more", "most", "rest", "some", "such", "there", "here", "thus", "ours", "theirs", "mine", "own", "others",
    "these", "those", "how", "what", "when", "where", "which", "who", "why",
}
# fmt: on
NO_VERBS = ("How ", "What ", "When ", "Where ", "Whether ", "Which ", "Who ", "Why ")
QUOTED = re.compile(r'`[^`]*`|"[^"]*"|data:\S*')
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PROSE_KEYWORDS = ("help", "description", "epilog")


def variables(tree):
    """Yield every name that is assigned or is a parameter, with its line, except a class's fields."""
    fields = {
        id(field.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def docstrings(tree):
    """Yield every docstring with the line of its owner."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text, getattr(node, "lineno", 1)


def help_texts(tree):
    """Yield every help text of a flag, as far as it is literal, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in PROSE_KEYWORDS:
            parts = [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
            yield "".join(parts), node.value.lineno


@pytest.fixture(scope="module", params=CODE, ids=lambda path: str(path.relative_to(ROOT)))
def tree(request):
    return ast.parse(request.param.read_text())


def test_variables_are_nouns(tree):
    assert not [(name, line) for name, line in variables(tree) if name.strip("_") in NO_NOUNS]


def test_docstrings_and_help_have_no_semicolons(tree):
    texts = [*docstrings(tree), *help_texts(tree)]
    assert not [(text[:60], line) for text, line in texts if ";" in QUOTED.sub("", text)]


def test_docstrings_begin_with_one_short_sentence(tree):
    for text, line in docstrings(tree):
        first = text.partition("\n\n")[0]
        assert not first.startswith(NO_VERBS), f"line {line}: begin with a verb or a noun"
        assert len(re.split(r"(?<=[.:])\s", first)[0].split()) <= 20, f"line {line}: at most 20 words"
