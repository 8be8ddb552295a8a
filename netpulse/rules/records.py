"""DNS records: what is asked for, what is expected, and whether an answer is that.

Records are texts here, each type in one spelling (that of zone files, names without their last
dot): "10 mail.example" for MX, all the strings of a TXT joined.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence

from netpulse.rules import targets
from netpulse.rules.targets import Endpoint, TargetError

_LABEL = re.compile(r"[!-\-/-~]{1,63}")
"""Any printable sign but a dot: service names, wildcards and reverse zones have odd ones."""
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PORT = 53


class RecordError(ValueError):
    """A value that no record of that type has; the message says how it is written."""


@functools.lru_cache(maxsize=targets.REMEMBERED)
def nameserver(text: str) -> Endpoint:
    """Return what `address`, `address:port`, `[v6]:port` or a bare IPv6 address says.

    Raises:
        TargetError: it is none of these, a host name for instance.
    """
    text = text.strip()
    if text.count(":") > 1 and not text.startswith("["):
        return Endpoint(targets.host(text), _PORT)
    written = text if text.endswith("]") or ":" not in text else None
    where = targets.endpoint(text, None if written is None else _PORT)
    try:
        ipaddress.ip_address(where.host)
    except ValueError:
        raise TargetError(
            f"{where.host} is a name; write the name server's address, such as 192.0.2.53"
        ) from None
    return where


@functools.lru_cache(maxsize=targets.REMEMBERED)
def question(target: str, record_type: str) -> str:
    """Return the name to ask for, lower case ASCII without its last dot.

    For PTR, an address stands for its name below in-addr.arpa or ip6.arpa.

    Raises:
        TargetError: it is no name, or an address where none can be asked for.
    """
    text = target.strip()
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return _name(text)
    if record_type != "PTR":
        raise TargetError(f"{text} is an address; only PTR records can be asked for one")
    if "%" in text:
        raise TargetError(f"{text} has a zone id; use an address without %")
    return address.reverse_pointer


def _name(text: str) -> str:
    if "://" in text:
        raise TargetError("a dns target is a name, such as shop.example, without a scheme")
    if ":" in text:
        raise TargetError("a dns target is a name alone; the name server's port goes to nameserver")
    if not text.isascii():
        return targets.host(text).removesuffix(".")
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise TargetError(f"{text or 'an empty text'} is not a name that can be looked up")
    return name


@functools.lru_cache(maxsize=targets.REMEMBERED)
def expected(record_type: str, value: str) -> str:
    """Return an expected value in the spelling that answers are compared in.

    Raises:
        RecordError: no record of that type is written like this.
    """
    return _PARSERS[record_type](value.strip())


def fits(record_type: str, wanted: str, answer: str) -> bool:
    """Tell whether a record is what is expected; both as texts.

    Case and last dots are ignored. MX and SRV may be expected as a host alone, SOA as its first
    name server alone.
    """
    try:
        key = expected(record_type, wanted)
    except RecordError:
        return False
    try:
        spelled = expected(record_type, answer)
    except RecordError:
        spelled = answer.lower()  # a record with signs that nobody would expect
    if key == spelled:
        return True
    if " " in key or record_type not in {"MX", "SRV", "SOA"}:
        return False
    words = spelled.split(" ")
    return key == (words[0] if record_type == "SOA" else words[-1])


def difference(
    record_type: str, wanted: Sequence[str], answers: Sequence[str], match: str
) -> tuple[list[str], list[str]] | None:
    """Return what is missing of `wanted` and what is in `answers` beyond it; None if it fits.

    `match` is "all" (the same records, in any order) or "any" (at least one of them).
    """
    if wanted and wanted == answers:
        return None
    if match == "any":
        found = any(fits(record_type, one, answer) for one in wanted for answer in answers)
        return None if found else (list(wanted), [])
    missing = [one for one in wanted if not any(fits(record_type, one, each) for each in answers)]
    extra = [each for each in answers if not any(fits(record_type, one, each) for one in wanted)]
    return (missing, extra) if missing or extra else None


# ------------------------------------------------------------------ spellings


def _address(value: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in value:
        sample = "192.0.2.7" if version == 4 else "2001:db8::7"
        raise RecordError(f"{value} is not an IPv{version} address, such as {sample}")
    return str(address)


def _host(value: str) -> str:
    if value == ".":
        return value
    try:
        return _name(value)
    except TargetError:
        raise RecordError(f"{value} is not a host name, such as mail.example") from None


def _mx(value: str) -> str:
    words = value.split()
    if len(words) == 1:
        return _host(words[0])
    if len(words) != 2 or not _is_number(words[0], 65_535):
        raise RecordError(
            f'{value} is neither a host nor "preference host", such as 10 mail.example'
        )
    return f"{int(words[0])} {_host(words[1])}"


def _srv(value: str) -> str:
    words = value.split()
    if len(words) == 1:
        return _host(words[0])
    if len(words) != 4 or not all(_is_number(word, 65_535) for word in words[:3]):
        raise RecordError(
            f'{value} is neither a host nor "priority weight port host", '
            "such as 10 5 5060 sip.example"
        )
    return " ".join([*(str(int(word)) for word in words[:3]), _host(words[3])])


def _soa(value: str) -> str:
    words = value.split()
    if len(words) == 1:
        return _host(words[0])
    if len(words) != 7 or not all(_is_number(word, 0xFFFF_FFFF) for word in words[2:]):
        raise RecordError(
            f'{value} is neither the first name server nor "server mailbox serial refresh retry '
            'expire minimum"'
        )
    return " ".join([_host(words[0]), _host(words[1]), *(str(int(word)) for word in words[2:])])


def _caa(value: str) -> str:
    words = value.split(maxsplit=2)
    if len(words) != 3 or not _is_number(words[0], 255) or not words[1].isalnum():
        raise RecordError(f'{value} is not "flags tag value", such as 0 issue "ca.example"')
    return f'{int(words[0])} {words[1].lower()} "{_text(words[2])}"'


def _text(value: str) -> str:
    """Return a text; one in quotation marks, as dig shows it, without them and its parts joined."""
    parts = _QUOTED.findall(value)
    if parts and not _QUOTED.sub("", value).strip():
        value = "".join(re.sub(r"\\(.)", r"\1", part) for part in parts)
    return value.lower().rstrip(".")


def _is_number(word: str, most: int) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= most


_PARSERS = {
    "A": lambda value: _address(value, 4),
    "AAAA": lambda value: _address(value, 6),
    "CNAME": _host,
    "NS": _host,
    "PTR": _host,
    "MX": _mx,
    "SRV": _srv,
    "SOA": _soa,
    "CAA": _caa,
    "TXT": _text,
}
