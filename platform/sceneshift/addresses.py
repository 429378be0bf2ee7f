"""Addresses with passwords in them, which nothing prints or keeps, and proxies in front of an address."""

import ipaddress
import os
import re
import urllib.request
from urllib.parse import unquote, urlsplit, urlunsplit

#: Replaces a name and a password.
HIDDEN = "***"

#: Name and password of ``scheme://name:password@host``; a name alone may be a token. An at sign within a password
#: belongs to it: the last before the path counts.
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s'\"<>]*@")

#: The same where a password has a slash or a similar character that should have been escaped.
_ODD_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^:/?#\s'\"<>@]*:(?!\d+(?:/|\b))[^\s'\"<>@]*@")

#: ``?password=…`` and its kin.
_QUERY = re.compile(
    r"(?P<name>[?&;][^=&\s'\"]*(?:passw(?:or)?d|passphrase|pwd|secret|token|signature|credential|api_?key|access_?key)"
    r"[^=&\s'\"]*=)[^&#\s'\"]+",
    re.IGNORECASE,
)

_LOOPBACK = ("127.0.0.1", "localhost")


def without_secrets(text: str) -> str:
    """A text in which names and passwords of addresses are hidden, as in ``http://***@host``."""
    if "://" not in text:
        return text
    text = _USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _ODD_USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _QUERY.sub(rf"\g<name>{HIDDEN}", text)


def has_secret(address: str) -> bool:
    """Whether an address has a name or a password in it."""
    return without_secrets(address) != address


def split_user(address: str) -> tuple[str, str | None, str | None]:
    """An address without its name and password, and both of them, decoded; None where there is none."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, None, None
    name, colon, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(name), unquote(password) if colon else None


def reach_this_machine_directly() -> None:
    """Use no proxy for the addresses of this machine: a proxy would take them for its own."""
    if not any(scheme in urllib.request.getproxies_environment() for scheme in ("http", "https", "all", "grpc")):
        return
    # Which of the two is read, and which wins, differs between libraries.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    known = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in known:
        known += [host for host in _LOOPBACK if host not in known]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(known)


def proxy_advice(address: str) -> str:
    """What to set if an address that does not answer is behind a proxy; empty if it is not.

    Args:
        address: ``http://…`` or ``https://…``.
    """
    parts = urlsplit(address)
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.hostname
    if not proxy or not host or _is_bypassed(host, parts.port, proxies.get("no", "")):
        return ""
    named = without_secrets(proxy if "://" in proxy else f"http://{proxy}")
    return (
        f" A proxy is in front of it ({parts.scheme.upper()}_PROXY={named}); if it can't reach {host}, leave that host "
        f"out: NO_PROXY={','.join(filter(None, [os.environ.get('NO_PROXY') or os.environ.get('no_proxy'), host]))}."
    )


def _is_bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    if urllib.request.proxy_bypass(host if port is None else f"{host}:{port}"):
        return True
    try:  # requests, unlike urllib, also reads networks such as 10.0.0.0/8
        here = ipaddress.ip_address(host)
        return any(here in ipaddress.ip_network(n.strip(), strict=False) for n in no_proxy.split(",") if "/" in n)
    except ValueError:
        return False
