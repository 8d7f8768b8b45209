"""Thoughts of reasoning models, which stand between marks before the answer."""

import re

# <think> and similar tags, among them <seed:think>
_TAG = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
_PAIRS = {  # kind → (opening, closing)
    "tag": (rf"<(?P<name>{_TAG})>", rf"</{_TAG}>"),
    "bracket": (r"\[THINK\]", r"\[/THINK\]"),  # Mistral
    "kimi": ("◁think▷", "◁/think▷"),
    "cohere": (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    "begin": (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    "gemma": (r"<\|channel>thought", r"<channel\|>"),
    "medgemma": ("<unused94>thought", "<unused95>"),
    # gpt-oss: the answer stands in the channel `final`
    "harmony": (r"<\|channel\|>(?:analysis|commentary)", r"<\|channel\|>final.{0,60}?<\|message\|>"),
    "bare_harmony": (r"\Aanalysis(?=.*?assistantfinal)", "assistantfinal"),  # the same without its special tokens
    "granite": (r"\AHere is my thought process:", r"Here is my response:"),
}
_FLAGS = re.DOTALL | re.IGNORECASE
_OPENING = re.compile("|".join(f"(?P<{kind}>{opening})" for kind, (opening, _) in _PAIRS.items()), _FLAGS)
_CLOSING = {kind: re.compile(closing, _FLAGS) for kind, (_, closing) in _PAIRS.items()}
# The closings of the other kinds are ordinary words where no thought was opened.
_LONE = re.compile("|".join(_PAIRS[kind][1] for kind in _PAIRS if kind not in ("bare_harmony", "granite")), _FLAGS)

_TOKENS = ("<|channel|>", "<|message|>", "<|channel>", "<channel|>", "<unused94>", "<unused95>")  # parts of marks


def is_thought_mark(token: str) -> bool:
    """Return whether a token is a mark that opens or closes a thought, or a part of one.

    >>> is_thought_mark("[/THINK]"), is_thought_mark("</s>")
    (True, False)
    """
    return token in _TOKENS or bool(_OPENING.fullmatch(token) or _LONE.fullmatch(token))


def without_thoughts(text: str) -> str:
    """Return the text without the thoughts in it, stripped of white space if there was one.

    A thought without an end reaches to the end of the text. A thought without a beginning reaches back to the beginning
    of the text, since some chat templates open the thought themselves.

    >>> without_thoughts("<think>\\n\\n</think>\\n\\nA person drinks.")
    'A person drinks.'
    >>> without_thoughts("It may be water.[/THINK]A person drinks."), without_thoughts("<think>It may be water.")
    ('A person drinks.', '')
    """
    outside, position = "", 0
    while opening := _OPENING.search(text, position):
        outside += text[position : opening.start()]
        closing = _closing(opening).search(text, opening.end())
        position = closing.end() if closing else len(text)
    outside += text[position:]
    *_, answer = _LONE.split(outside)
    return text if answer == text else answer.strip()


def _closing(opening: re.Match[str]) -> re.Pattern[str]:
    """Return the pattern of the mark that ends the thought which `opening` begins."""
    if name := opening["name"]:
        return re.compile(f"</{re.escape(name)}>", _FLAGS)
    return next(_CLOSING[kind] for kind in _PAIRS if opening[kind])
