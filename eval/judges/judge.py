"""Who grades: the judge behind a name."""

from eval.judges.judgement import Judge
from eval.judges.llm_judge import Chat, LlmJudge
from eval.judges.rubrics import OWN, Rubrics
from eval.judges.similarity_judge import SIMILARITY, SimilarityJudge
from ski_lvlm.servers.client import ChatClient, ChatError
from ski_lvlm.servers.pace import Pace


def open_judge(
    name: str,
    *,
    base_url: str | None = None,
    timeout: float = 120.0,
    rubrics: Rubrics = OWN,
    temperature: float = 0.0,
    max_tokens: int = 200,
    requests_per_minute: int | None = None,
) -> Judge:
    """The judge behind a name: a bare name or `ollama:MODEL`, `openai:MODEL`, `hf:MODEL` in this process, `similarity`.

    Args:
        name: who.
        base_url: a server's address.
        timeout: seconds that one attempt may wait for a server.
        rubrics: what is asked; `similarity` has questions of its own.
        temperature: 0 takes the likeliest token each time.
        max_tokens: the longest reply.
        requests_per_minute: limit for all threads, attempts after a failure included.

    Raises:
        ChatError: the name is malformed, or a key is missing.
        ValueError: a limit below 1.
        ImportError: the offline sentence encoder is not installed.
    """
    if name == SIMILARITY:
        from ski_lvlm.encoders.text_encoder import load_text_encoder

        return SimilarityJudge(load_text_encoder("minilm"))
    chat = _chat(name, base_url, timeout)
    pace = (
        None if requests_per_minute is None else Pace(requests_per_minute=requests_per_minute, tokens_per_minute=None)
    )
    return LlmJudge(chat, rubrics, temperature=temperature, max_tokens=max_tokens, pace=pace)


def _chat(name: str, base_url: str | None, timeout: float) -> Chat:
    protocol, colon, model = name.partition(":")
    if not (model if colon else name).strip():
        raise ChatError(
            f"no judge is named by {name!r}; expected MODEL or ollama:MODEL, openai:MODEL, hf:MODEL, or {SIMILARITY}"
        )
    if protocol == "hf":
        from eval.judges.hf_chat import HfChat

        return HfChat(model)
    return ChatClient(name, base_url=base_url, timeout=timeout)
