"""Targets: a URL or a host and port, read once in one way, so that what is checked is dialled.

Hosts that two readers could take for different machines are refused when a monitor is saved:
spaces, control characters, zone ids, digits of other scripts (IDNA folds a circled one into an
address), addresses in short or hexadecimal spelling.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from typing import NamedTuple

from yarl import URL

REMEMBERED = 32_768
"""Texts of monitors whose reading is remembered: they come again at every check, and a memory that
is smaller than what comes round in a circle remembers nothing at all."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_UNPRINTABLE = re.compile(
    r"[\x00-\x20\x7f-\xa0\u2000-\u200f\u2028-\u202f\u2060-\u206f\u3000\ufeff]"
)
_DOTS = "\u3002\uff0e\uff61"
_FOLDED = frozenset("0123456789./?#@:%[]\\")


class TargetError(ValueError):
    """A target that cannot be checked; the message says why and what to write instead."""


class Endpoint(NamedTuple):
    """Where a connection goes: a host name or an address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=REMEMBERED)
def url(text: str) -> URL:
    """Return the http or https URL that `text` says, without its fragment.

    User name and password are still in it: `normalised` of rules.monitors moves them to `auth`.

    Raises:
        TargetError: `text` is no URL that can be checked.
    """
    _refuse_unprintable(text)
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise TargetError("a URL starts with http:// or https://, such as https://shop.example/")
    if scheme.lower() not in {"http", "https"}:
        raise TargetError(f"the scheme is {scheme[:20] or 'missing'}; use http or https")
    # The text before IDNA and yarl have folded anything: that is what a person saw.
    _refuse_doubtful_authority(text)
    try:
        parsed = parse(text)
        port = parsed.explicit_port
    except ValueError as trouble:
        raise TargetError(f"not a URL: {str(trouble).rstrip('.')}") from None
    if port == 0:
        raise TargetError("port 0 cannot be connected to; use 1 to 65535")
    host(parsed.raw_host or "")
    return parsed.with_fragment(None)


def parse(text: str, *, encoded: bool = False) -> URL:
    """Return the parts of a URL; with `encoded` nothing in it is encoded once more.

    Raises:
        ValueError: it is none.
    """
    try:
        return URL(text, encoded=encoded)
    except IndexError:
        # What yarl says of brackets before an empty host, as in http://[]@/.
        raise ValueError("it has no host") from None


@functools.lru_cache(maxsize=REMEMBERED)
def host(text: str) -> str:
    """Return a host as it is dialled: a lower-case ASCII name, or an address in its usual form.

    Raises:
        TargetError: it is empty, has a zone id, or can be read as more than one machine.
    """
    _refuse_unprintable(text)
    bracketed = text.startswith("[")
    name = text[1:].removesuffix("]") if bracketed else text
    if "%" in name:
        raise TargetError(f"the host {text} has a zone id; use an address without %")
    if bracketed or ":" in name:
        try:
            return str(ipaddress.IPv6Address(name))
        except ValueError:
            raise TargetError(f"{text} is not an IPv6 address") from None
    _refuse_foreign_digits(name)
    if not name.isascii():
        try:
            name = URL.build(scheme="http", host=name).raw_host or ""
        except ValueError:
            raise TargetError(f"{text} is not a host name") from None
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if _numeric(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise TargetError(
                f"{text} is not an address: write four decimal numbers, such as 192.0.2.7"
            ) from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise TargetError(f"{text or 'an empty text'} is not a host name")
    return name


@functools.lru_cache(maxsize=REMEMBERED)
def endpoint(target: str, port: int | None) -> Endpoint:
    """Return where a tcp monitor connects to: `host:port`, `[v6]:port`, or a host and the field.

    Raises:
        TargetError: it is neither, has no port or two different ones.
    """
    text = target.strip()
    _refuse_unprintable(text)
    if "://" in text or "/" in text:
        raise TargetError("a tcp target is host:port, such as db.example:5432, without a scheme")
    if "@" in text:
        raise TargetError("a tcp target has no user name: write host:port")
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise TargetError("an IPv6 target is written [2001:db8::1]:port")
        name, written = f"{name}]", rest[1:] if rest else None
    elif text.count(":") > 1:
        if port is None:
            raise TargetError("an IPv6 target is written [2001:db8::1]:port")
        name, written = text, None
    else:
        name, colon, rest = text.partition(":")
        written = rest if colon else None
    if written is None:
        if port is None:
            raise TargetError("the target has no port: write host:port, or set port")
        return Endpoint(host(name), port)
    number = _port(written)
    if port is not None and port != number:
        raise TargetError(f"the target says port {number} and port says {port}: give one")
    return Endpoint(host(name), number)


def ssl_endpoint(target: str, port: int) -> Endpoint:
    """Return where an ssl monitor connects to: a host, or `host:port` in the target.

    Raises:
        TargetError: it is neither, or the target says another port than `port`.
    """
    text = target.strip()
    if "://" in text or "/" in text:
        raise TargetError("an ssl target is a host, such as shop.example, without a scheme")
    if "@" in text:
        raise TargetError("an ssl target has no user name: write the host alone")
    return endpoint(text, port)


@functools.lru_cache(maxsize=REMEMBERED)
def ping_host(target: str) -> str:
    """Return the host or address that an icmp monitor pings.

    Raises:
        TargetError: it is neither, or has a port: pings have none.
    """
    text = target.strip()
    if "://" in text or "/" in text or "@" in text:
        raise TargetError("a ping goes to a host or an address, such as shop.example, and no more")
    if text.count(":") == 1 or "]:" in text:
        raise TargetError("a ping has no port: write the host alone, or use a tcp monitor")
    return host(text)


def shown(target: str) -> str:
    """Return a target as others may see it: without user name, password and fragment."""
    if "://" in target:
        try:
            return str(url(target).with_user(None))
        except TargetError:
            pass  # never stored, but it may be shown while somebody corrects it
    before, separator, after = target.partition("://")
    scheme, rest = (before, after) if separator else ("", target)
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise TargetError(f"{text or 'nothing'} is not a port: use 1 to 65535")
    return int(text)


def _numeric(label: str) -> bool:
    """Tell whether a last label makes the host an IPv4 address (WHATWG URL, ends-in-a-number)."""
    if label.isascii() and label.isdigit():
        return True
    return label.startswith("0x") and all(c in "0123456789abcdef" for c in label[2:])


def _refuse_unprintable(text: str) -> None:
    found = _UNPRINTABLE.search(text)
    if found is not None:
        raise TargetError(f"it has a space or control character at column {found.start() + 1}")


def _refuse_foreign_digits(name: str) -> None:
    """Refuse what IDNA would fold into an address or into URL syntax: circled or full-width signs.

    Letters of all scripts pass, the Chinese numerals among them.
    """
    for char in name:
        if char.isascii():
            continue
        folded = unicodedata.normalize("NFKC", char)
        if char.isdigit() or char in _DOTS or any(sign in _FOLDED for sign in folded):
            raise TargetError(f"the host has the sign {char}; write plain digits, dots and colons")


def _refuse_doubtful_authority(text: str) -> None:
    """Refuse what a parser would fold, drop or read differently between scheme and path."""
    authority = re.split(r"[/?#\\]", text.partition("://")[2], maxsplit=1)[0]
    if authority.count("@") > 1:
        raise TargetError("the URL has more than one @ before its path; write %40 for one")
    written = authority.rpartition("@")[2]
    if not written or written.startswith(":"):
        raise TargetError("the URL has no host")
    if "%" in written:
        raise TargetError("the host has a % in it; zone ids and encoded hosts are not supported")
    _refuse_foreign_digits(written)
