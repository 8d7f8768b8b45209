"""Whatever README.md, CONTRIBUTING.md and docs/ name exists: links, anchors, paths, commands and their flags."""

import ast
import contextlib
import importlib
import io
import re
import runpy
import shlex
import sys
from functools import cache
from typing import NamedTuple

import pytest

from tests.cases.command_case import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FLAG = re.compile(r"--[A-Za-z]\w*")
ABSENT = ("http", "../../actions")  # links that lead out of the repository
ROOMS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").is_file())
FOLDERS = (*ROOMS, "docs/", "tests/")
LAUNCHERS = ("python", "deepspeed", "torchrun")
# Commands whose help depends on a flag; each is asked for the help of all its values.
STAGES = {"train_ski_vlm.py": ("skeleton_pretrain", "skeleton_align", "skeleton_text", "video_finetune", "distill")}


class Command(NamedTuple):
    """One command of a document: its script, below the root, and the words after it."""

    script: str
    words: tuple[str, ...]


def text_of(document):
    return document.read_text(encoding="utf-8")


def fences(document, *languages):
    return [body for language, body in FENCE.findall(text_of(document)) if language in languages]


def prose(document):
    """Return a document without its code."""
    return SPAN.sub("", FENCE.sub("", text_of(document)))


def spans(document):
    return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text_of(document)))]


def anchors(document):
    """Return the anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(document):
    """Yield the commands of shell blocks and code spans that run a file of this repository."""
    lines = [line for body in fences(document, "bash") for line in body.replace("\\\n", " ").splitlines()]
    for line in [*lines, *spans(document)]:
        words = shlex.split(line.partition("#")[0].replace("…", ""))
        for start in [i for i, word in enumerate(words) if word in LAUNCHERS or is_script(word)]:
            if command := command_of(words[start:]):
                yield command
                break


def command_of(words):
    if words[:2] == ["python", "-m"] and words[2].split(".")[0] + "/" in ROOMS:
        return Command(words[2].replace(".", "/") + ".py", tuple(words[3:]))
    scripts = [i for i, word in enumerate(words) if is_script(word)]
    return Command(words[scripts[0]], tuple(words[scripts[0] + 1 :])) if scripts else None


def is_script(word):
    return word.endswith(".py") and (word.startswith(FOLDERS) or (ROOT / word).is_file())


def is_command(path):
    return path.is_file() and '\nif __name__ == "__main__":' in path.read_text()


def new_files(document):
    """Return the files that the diffs of a document create."""
    return {path for body in fences(document, "diff") for path in re.findall(r"^\+\+\+ b/(\S+)$", body, re.MULTILINE)}


@cache
def flags_of(script):
    """Return the flags in the help of a command."""
    choices = [["--stage", stage, "--help"] for stage in STAGES.get(script, ())] or [["--help"]]
    return frozenset().union(*(help_flags(script, words) for words in choices))


def help_flags(script, words):
    output, argv = io.StringIO(), sys.argv
    sys.argv = [str(ROOT / script), *words]
    try:
        with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        sys.argv = argv
    entries = [line for line in output.getvalue().splitlines() if re.match(r"  -", line)]
    return {flag for line in entries for flag in FLAG.findall(line)} | {"--stage"} & set(words)


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
SCRIPTS = {command.script for document in DOCUMENTS for command in commands(document)}
COMMANDS = sorted(script for script in SCRIPTS if is_command(ROOT / script))


@each_document
def test_links_lead_somewhere(document):
    for target in LINK.findall(FENCE.sub("", text_of(document))):
        if target.startswith(ABSENT):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading in {file.name}"


@each_document
def test_paths_exist(document):
    words = [
        word for text in [*fences(document, "bash", ""), *spans(document)] for word in re.findall(r"[\w./*-]+", text)
    ]
    for word in {word.rstrip(".") for word in words if word.startswith(FOLDERS)} - new_files(document):
        assert list(ROOT.glob(word.rstrip("/"))), f"{word} does not exist"


@each_document
def test_scripts_named_alone_exist(document):
    for word in {word for span in spans(document) for word in re.findall(r"^[\w./-]+\.(?:py|sh)\b", span)}:
        assert list(ROOT.rglob(word)) or word in new_files(document), f"{word} does not exist"


@pytest.mark.parametrize("script", COMMANDS)
def test_flags_of_commands_exist(script):
    """A command's flags stand in its own help."""
    for document in DOCUMENTS:
        for command in commands(document):
            if command.script == script:
                unknown = (
                    {flag for word in command.words for flag in FLAG.findall(word)} - flags_of(script) - {"--help"}
                )
                assert not unknown, f"{document.name}: {script} has no {', '.join(sorted(unknown))}"


def test_flags_named_alone_belong_to_a_command():
    valid = {"--help", "--hostfile", "--nnodes"}.union(*(flags_of(script) for script in COMMANDS))
    for document in DOCUMENTS:
        alone = {span.split()[0].partition("=")[0] for span in spans(document) if FLAG.match(span)}
        assert not alone - valid, f"{document.name} names flags that no command has"


@each_document
def test_python_examples_name_what_there_is(document):
    for body in fences(document, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] + "/" in ROOMS:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_the_readme_has_a_line_for_each_room():
    tree = next(body for body in fences(ROOT / "README.md", "") if "ski_lvlm/" in body)
    rooms = {path.parent.name for path in (ROOT / "ski_lvlm").glob("*/__init__.py")}
    assert rooms == {
        room
        for line in tree.splitlines()
        if line.startswith("  ")
        for room in re.findall(r"(\w+)/", line.strip().partition("  ")[0])
    }


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 200


@each_document
def test_sentences_have_no_semicolons(document):
    assert ";" not in prose(document)


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").iterdir()), ids=lambda path: path.name)
def test_pictures_are_shown(picture):
    assert any(f"images/{picture.name}" in text_of(document) for document in DOCUMENTS)
