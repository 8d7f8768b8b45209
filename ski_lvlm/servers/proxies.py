"""Proxies between us and a server: none to this machine, elsewhere the one that the environment names.

The HTTP libraries can read the environment themselves. But they send requests for this machine to the proxy as well,
fail on a proxy that they do not understand even if it is for other addresses, and do not say which variable they used.
"""

import importlib.util
import ipaddress
import os
import re
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ski_lvlm.servers.address import ServerAddress
from ski_lvlm.servers.protocol import Refused

PROXY_VARIABLES = tuple(f(f"{name}_proxy") for name in ("http", "https", "all") for f in (str.lower, str.upper))
_SCHEMES = ("http", "https", "socks5", "socks5h")


class Proxy(NamedTuple):
    """A proxy, the variable that names it, and its address without a password."""

    url: str
    variable: str
    masked_url: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """Password of its address."""
        return (urlsplit(self.url).password or "",)


def proxy_for(address: ServerAddress) -> Proxy | None:
    """Return the proxy for a server, None for this machine and where the environment names none.

    Raises:
        Refused: the proxy cannot be used. The message names the variable to change.
    """
    proxies = getproxies()
    scheme = next((name for name in (address.url.partition(":")[0], "all") if proxies.get(name)), None)
    if address.is_here or scheme is None or _is_exempt(address, proxies.get("no", "")):
        return None
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name)), "the system's proxy settings")
    text = proxies[scheme].strip()
    url = re.sub(r"^socks://", "socks5://", text if "://" in text else f"http://{text}")
    masked_url = re.sub(r"//.*@", "//***@", url)
    remedy = f"correct or unset {variable}, or add {address.host} to no_proxy"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Refused(f"{variable} is {masked_url!r}, expected http://HOST:PORT or socks5://HOST:PORT: {remedy}")
    if url.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise Refused(
            f"{variable} names a SOCKS proxy ({masked_url}), which needs a package that is not installed: run "
            f"`pip install socksio`, or {remedy}"
        )
    return Proxy(url, variable, masked_url)


def _is_exempt(address: ServerAddress, exempt: str) -> bool:
    """Return whether no_proxy (or the system) names the host, a domain of it, or a network around its address."""
    if proxy_bypass(address.host):
        return True
    try:
        number = ipaddress.ip_address(address.host)
        networks = [part.strip() for part in exempt.split(",") if "/" in part and "://" not in part]
        return any(number in ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError:
        return False


def certificates() -> ssl.SSLContext | bool:
    """Return the trusted certificates: of SSL_CERT_FILE, of SSL_CERT_DIR, or the library's own."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or None, capath=folder or None) if file or folder else True
