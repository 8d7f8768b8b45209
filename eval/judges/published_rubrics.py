"""Video-ChatGPT's published prompts, read verbatim from a clone of their code, which is not run.

    git clone https://github.com/mbzuai-oryx/Video-ChatGPT
    python eval/score.py --rubrics Video-ChatGPT --predictions …

They are not shipped: that repository's LICENSE is CC BY 4.0, its README says CC BY-NC-SA 4.0, and its authors, asked
which holds, name the latter. LLAVIDAL's copy for Ollama (`evaluation/ADL-X/videochatgpt_scoring.py`) is read as well.
A reply is a Python dictionary, and no JSON schema binds it. Assumption: the message after an unreadable reply is ours,
because their code only repeats the question.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "video-chatgpt"
FOLDER = "quantitative_evaluation"
SOURCE = "https://github.com/mbzuai-oryx/Video-ChatGPT"
NOT_SHIPPED = (
    f"Video-ChatGPT's prompts are not shipped, because its authors license them for non-commercial use alone. Run "
    f"`git clone {SOURCE}` and give --rubrics the clone's folder: they are read from there verbatim"
)
AGAIN = "That could not be read. Answer with the Python dictionary string alone: {'score': N}, where N is {scale}."
_METRICS = {  # words of a system message → the metric that it is about
    "evaluating the factual accuracy": "correctness",
    "evaluating the detail orientation": "detail",
    "evaluating the contextual understanding": "context",
    "evaluating the temporal understanding": "temporal",
    "evaluating the consistency": "consistency",
}
_TEXTS = {  # a variable of their code → the field of a record
    "question": "Q",
    "question1": "Q1",
    "question2": "Q2",
    "answer": "A",
    "pred": "pred",
    "pred1": "pred1",
    "pred2": "pred2",
}


def read_published(path: Path) -> dict[str, Any]:
    """Read the prompts from a clone of the code, a folder in it, or one of its files.

    Raises:
        ValueError: there is no such prompt in it, or two different ones of a metric.
    """
    metrics: dict[str, dict[str, str]] = {}
    for file in _sources(path):
        for system, prompt in _chats(file):
            metric = next((name for words, name in _METRICS.items() if words in system), None)
            entry = {"system": system, "prompt": prompt}
            if metric and metrics.setdefault(metric, entry) != entry:
                raise ValueError(f"{file}: a second, different prompt for {metric}. Give the folder of one version.")
    if not metrics:
        raise ValueError(
            f"{path}: found none of Video-ChatGPT's prompts, expected a clone of {SOURCE} or its {FOLDER}/"
        )
    return {"schema": None, "again": AGAIN, "metrics": metrics}


def _sources(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / FOLDER
    return sorted((folder if folder.is_dir() else path).glob("*.py"))


def _chats(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the system and the user message of every chat literal in a file."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is no Python file ({error}). Fetch it again.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.List) and all(isinstance(element, ast.Dict) for element in node.elts):
            messages = dict(filter(None, map(_message, node.elts)))
            if {"system", "user"} <= messages.keys():
                yield messages["system"], messages["user"]


def _message(node: ast.expr) -> tuple[str, str] | None:
    """Return role and content of a message literal, or None if it is none or depends on other code."""
    assert isinstance(node, ast.Dict)
    fields = {key.value: value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
    role, content = (_text(fields[name]) if name in fields else None for name in ("role", "content"))
    return None if role is None or content is None else (role, content)


def _text(node: ast.expr) -> str | None:
    """Return a text with its variables as places such as {A}, or None if it holds other expressions."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = [_place(part.value) if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values]
    return None if None in parts else "".join(part or "" for part in parts)


def _place(node: ast.expr) -> str | None:
    field = _TEXTS.get(node.id.removeprefix("lvlm_")) if isinstance(node, ast.Name) else None
    return f"{{{field}}}" if field else None
