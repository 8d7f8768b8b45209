"""Keys from the environment, and a mask that keeps them out of every message and log."""

import base64
import html
import json
import logging
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

from ski_lvlm.servers.protocol import Refused

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"  # what editors and web pages leave around a copied key
_SHORT = 6  # characters: a shorter secret is masked only where it stands alone
_BEGINNING = 12  # characters of a secret from which a cut-off copy is masked as well
_CHATTY = ("httpx", "httpx2", "openai._base_client")  # loggers of the packages below, which print addresses


def read_key(variable: str) -> str:
    """Return the key in an environment variable without the white space around it, empty where there is none.

    Raises:
        Refused: it holds characters that no HTTP header can carry, such as line breaks. The message does not quote it.
    """
    key = os.environ.get(variable, "").strip().strip(_INVISIBLE).strip()
    if wrong := [position for position, letter in enumerate(key, start=1) if not "!" <= letter <= "~"]:
        raise Refused(
            f"{variable} has {len(key)} characters, and number {wrong[0]} is white space or no ASCII. Expected the "
            "bare key on one line: set it again."
        )
    return key


def header_secrets() -> list[str]:
    """Return the values of OPENAI_CUSTOM_HEADERS, which the `openai` package sends along."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    return [line.partition(":")[2].strip() for line in lines]


class Mask(logging.Filter):
    """Mask of secrets by `***`, in every spelling that a message may have: quoted, escaped, encoded or cut off.

    >>> Mask("sk-abc/def\\t1")(r"key sk-abc/def\\t1, sk-abc%2Fdef%091")
    'key ***, ***'
    """

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        parts = {*spellings, *(text[:length] for text in spellings for length in range(_BEGINNING, len(text)))}
        patterns = [_pattern(part) for part in sorted(parts, key=len, reverse=True)]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return self._pattern.sub("***", text) if self._pattern else text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a log record."""
        if self._pattern:
            record.msg, record.args = self(record.getMessage()), None
        return True

    def cover_logs(self) -> None:
        """Mask the logs of the HTTP packages, too."""
        for name in _CHATTY:
            logging.getLogger(name).addFilter(self)


def _spellings(secret: str) -> Iterator[str]:
    for text in (secret, unquote(secret)):
        yield text
        yield repr(text)[1:-1]
        yield repr(text.encode())[2:-1]
        yield json.dumps(text)[1:-1]
        yield html.escape(text)
        yield from (quote(text), quote(text, safe=""), quote_plus(text))
        yield base64.b64encode(text.encode()).decode()


def _pattern(part: str) -> str:
    return re.escape(part) if len(part) >= _SHORT else rf"(?<![^\W_]){re.escape(part)}(?![^\W_])"
