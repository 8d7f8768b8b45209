"""Addresses of LLM servers as people write them: without scheme or port, with a password, a query, a whole path.

Secrets in it (a password, `?api-key=`) are kept apart, so that no message holds them.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from ski_lvlm.servers.protocol import ChatError

Protocol = Literal["ollama", "openai"]
OLLAMA_PORT = 11434
# People paste the path of one call along with an address, for Ollama also the path of its other protocol.
_CALLS = {
    "openai": re.compile(r"/(?:chat/completions|completions|responses|models)$"),
    "ollama": re.compile(r"/(?:v1|api)(?:/(?:chat(?:/completions)?|completions|generate|models|tags|show))?$"),
}
_EXAMPLES = {"openai": "http://HOST:PORT/v1", "ollama": f"http://HOST:{OLLAMA_PORT}"}
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # a server listens there, but is not reached there
_HARMLESS = {"api-version", "version", "model", "deployment"}  # names in a query whose values are no secrets

_USER = re.compile(r"(?<=://)[^\s'\"]+(?=@)")
_QUERY = re.compile(r"(?<=\?)[^\s'\"?#]+=[^\s'\"#]*")


@dataclass(frozen=True)
class ServerAddress:
    """Address of a server. `url` has one spelling, without user, query and slash at its end."""

    url: str
    host: str
    query: tuple[tuple[str, str], ...] = ()
    user: tuple[str, str] | None = None

    @property
    def is_here(self) -> bool:
        """Return whether the server is on this machine."""
        name = self.host.casefold()
        if name == "localhost" or name.endswith(".localhost") or name == socket.gethostname().casefold():
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return texts that must not be shown: the password, both parts of `user:password`, values of the query."""
        user = (self.user[1], ":".join(self.user)) if self.user else ()
        return (*user, *(value for name, value in self.query if name.lower() not in _HARMLESS))


def read_address(address: str, *, protocol: Protocol, source: str) -> ServerAddress:
    """Read an address. `source` is the flag or variable that it comes from.

    A missing scheme is https for a public name without a port, else http. Without scheme and port Ollama's port is
    11434, as with the `ollama` command. 0.0.0.0 means this machine.

    >>> read_address("0.0.0.0", protocol="ollama", source="OLLAMA_HOST").url
    'http://127.0.0.1:11434'
    >>> read_address("http://HOST:80/v1/chat/completions?api-version=1", protocol="openai", source="--base_url").url
    'http://host/v1'

    Raises:
        ChatError: it is no address. The message quotes nothing that may be a password.
    """
    text = address.strip().strip("\"'").strip()
    masked = re.sub(r".*@", "***@", text, flags=re.DOTALL).partition("?")[0]
    wrong = f"{source} is {masked!r}, expected an address such as {_EXAMPLES[protocol]}"
    if not text or re.search(r"\s", text) or re.match(r"https?(?::/?(?!/)|//)", text, re.IGNORECASE):
        raise ChatError(wrong)
    try:
        parts = urlsplit(_with_scheme(text, protocol))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ChatError(wrong) from None
    if protocol == "ollama" and not host and "://" not in text:  # `:11435`, and nothing at all before a path
        host = "127.0.0.1"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ChatError(wrong)
    if port is None and protocol == "ollama" and "://" not in text:
        port = OLLAMA_PORT
    host = _ANYWHERE.get(host, host)
    path = _CALLS[protocol].sub("", re.sub(r"/{2,}", "/", parts.path).rstrip("/")).rstrip("/")
    port_of_scheme = {"http": 80, "https": 443}[parts.scheme]
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port not in (None, port_of_scheme) else "")
    user = None
    if parts.username is not None:
        user = unquote(parts.username), unquote(parts.password or "")
    return ServerAddress(
        f"{parts.scheme}://{place}{path}", host, tuple(parse_qsl(parts.query, keep_blank_values=True)), user
    )


def without_secrets(text: str) -> str:
    """Mask user, password and query values of the addresses in a text, for pages and records.

    >>> without_secrets("--base_url https://me:secret@host/v1?api-version=1&api-key=secret --seed 0")
    '--base_url https://…@host/v1?api-version=1&api-key=… --seed 0'
    """
    return _QUERY.sub(_masked_query, _USER.sub("…", text))


def _masked_query(query: re.Match[str]) -> str:
    fields = (field.partition("=") for field in query[0].split("&"))
    return "&".join(name + sign + (value if name.lower() in _HARMLESS else "…") for name, sign, value in fields)


def _with_scheme(text: str, protocol: Protocol) -> str:
    if "://" in text:
        return text
    place, slash, path = text.partition("/")
    user, at, host = place.rpartition("@")
    if host.count(":") > 1 and not host.startswith("["):  # an IPv6 address without its brackets
        host = f"[{host}]"
    is_public = protocol == "openai" and "." in host and re.search(r"[a-z]$", host, re.IGNORECASE) is not None
    return f"{'https' if is_public else 'http'}://{user}{at}{host}{slash}{path}"
