"""The judges of `--judge` by name. A new judge is a file in this folder and a line in `JUDGES`."""

from typing import Final

from eval.judges.judge import Judge, JudgeSettings
from eval.judges.llm_judge import LlmJudge
from eval.judges.similarity_judge import SimilarityJudge
from ski_lvlm.servers.client import ChatError

# A name that ends in a colon is followed by a model. A bare MODEL is one of Ollama's.
JUDGES: Final[dict[str, type[Judge]]] = {
    "ollama:": LlmJudge,
    "openai:": LlmJudge,
    "hf:": LlmJudge,
    "similarity": SimilarityJudge,
}
JUDGE_NAMES: Final = ", ".join(("MODEL", *(f"{name}MODEL" if name.endswith(":") else name for name in JUDGES)))


def judge_class(name: str) -> type[Judge]:
    """Return the class of the judge that a name opens.

    >>> judge_class("similarity").__name__, judge_class("llama3.1:8b").__name__
    ('SimilarityJudge', 'LlmJudge')
    """
    protocol, colon, _ = name.partition(":")
    return JUDGES.get(protocol + colon, LlmJudge)


def open_judge(name: str, settings: JudgeSettings = JudgeSettings()) -> Judge:  # noqa: B008
    """Open a judge.

    Raises:
        ChatError: the name is malformed, or a key is missing.
        ValueError: a limit below 1.
        ImportError: the offline sentence encoder is not installed.
    """
    _, colon, model = name.partition(":")
    if not (model if colon else name).strip():
        raise ChatError(f"no judge is named by {name!r}; expected one of {JUDGE_NAMES}")
    return judge_class(name).open(name, settings)
