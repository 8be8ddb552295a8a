"""DNS messages: questions written and answers read, by dnspython's code (RFC 1035, 6891)."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

# dnspython loads these at the first record of each type: not while checks run, and not by a name
# that a frozen executable could not follow.
import dns.rdtypes.ANY.CAA
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV

from netpulse.egress import entropy
from netpulse.rules.targets import REMEMBERED

HEAD_BYTES = 12
UDP_PAYLOAD = 1232
"""Bytes that pass everywhere without fragments (DNS flag day 2020)."""


class Written(NamedTuple):
    """A question as it is asked again and again: all but its id."""

    name: dns.name.Name
    record_type: str
    wire: bytes
    """How it goes over the wire, from behind its id on."""
    plain_wire: bytes
    """The same without EDNS, for servers that do not know it."""
    section: bytes
    """The question itself, as an answer repeats it."""


class Question:
    """One question with a fresh random id."""

    __slots__ = ("ident", "written")

    def __init__(self, written: Written) -> None:
        self.ident = entropy.fresh(2)
        self.written = written

    @property
    def name(self) -> dns.name.Name:
        """The name that is asked for."""
        return self.written.name

    @property
    def record_type(self) -> str:
        """The type that is asked for."""
        return self.written.record_type

    @property
    def wire(self) -> bytes:
        """How it goes over the wire."""
        return self.ident + self.written.wire

    @property
    def plain_wire(self) -> bytes:
        """The same without EDNS."""
        return self.ident + self.written.plain_wire


class Malformed(Exception):
    """An answer that cannot be read; the message says why."""


def question(name: str, record_type: str) -> Question:
    """Return the question for a name in ASCII; its last dot may be missing."""
    return Question(_written(name, record_type))


@functools.lru_cache(maxsize=REMEMBERED)
def _written(name: str, record_type: str) -> Written:
    labels = [part.encode("ascii") for part in name.removesuffix(".").split(".")]
    asked = dns.name.Name([*labels, b""])
    message = dns.message.make_query(asked, dns.rdatatype.from_text(record_type), id=0)
    plain = message.to_wire()
    message.use_edns(0, payload=UDP_PAYLOAD)
    return Written(asked, record_type, message.to_wire()[2:], plain[2:], plain[HEAD_BYTES:])


def is_for(asked: Question, wire: bytes) -> bool:
    """Tell whether a packet has the id of a question: what has another is somebody else's."""
    return wire[:2] == asked.ident


def read(asked: Question, wire: bytes) -> dns.message.Message:
    """Return the answer to a question.

    Raises:
        Malformed: it is none, or not to this question.
    """
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except dns.message.Truncated:  # only where truncation is asked to be raised
        raise
    except dns.exception.DNSException as error:
        raise Malformed(_said(error)) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
        # dnspython is strict in its own words mostly, and in Python's for the rest.
        raise Malformed(_said(error)) from None
    if not message.flags & dns.flags.QR:
        raise Malformed("it is not an answer but a question")
    if message.question:
        one = message.question[0]
        if (
            len(message.question) != 1
            or one.name != asked.name
            or one.rdtype != dns.rdatatype.from_text(asked.record_type)
            or one.rdclass != dns.rdataclass.IN
        ):
            raise Malformed("it answers another question")
    elif message.rcode() == dns.rcode.NOERROR and not message.flags & dns.flags.TC:
        raise Malformed("it does not repeat the question")
    return message


def is_truncated(message: dns.message.Message) -> bool:
    """Tell whether the rest has to be asked for over TCP."""
    return bool(message.flags & dns.flags.TC)


class Found(NamedTuple):
    """What an answer says of a name."""

    records: tuple[str, ...]
    end: dns.name.Name
    """Where the chain of CNAMEs ends; the name itself where there is none."""
    final: bool
    """False where the chain leads out of what this server answered, and it said no more."""


def found(asked: Question, message: dns.message.Message) -> Found:
    """Return the wanted records at the end of the CNAMEs of an answer.

    Raises:
        Malformed: the CNAMEs lead in a circle.
    """
    kind = dns.rdatatype.from_text(asked.record_type)
    end = asked.name
    seen = {end}
    while True:
        records = message.get_rrset(message.answer, end, dns.rdataclass.IN, kind)
        if records:
            return Found(tuple(_text(each) for each in records), end, True)
        alias = message.get_rrset(message.answer, end, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if not alias:
            break
        end = alias[0].target
        if end in seen:
            raise Malformed(f"its CNAMEs lead in a circle, back to {shown(end)}")
        seen.add(end)
    said_none = any(each.rdtype == dns.rdatatype.SOA for each in message.authority)
    return Found((), end, end == asked.name or said_none)


def refers(message: dns.message.Message) -> bool:
    """Tell whether a server without an answer sends us to others (RFC 1034, 4.3.1)."""
    return not message.flags & dns.flags.AA and any(
        each.rdtype == dns.rdatatype.NS for each in message.authority
    )


def rcode(message: dns.message.Message) -> str:
    """Return the answer's code as a word: noerror, nxdomain, servfail …"""
    return str(dns.rcode.to_text(message.rcode())).lower()


def reasons(message: dns.message.Message) -> str:
    """Return what the server says about its trouble (RFC 8914), in brackets; "" for nothing."""
    said: list[str] = []
    for option in message.options:
        if isinstance(option, dns.edns.EDEOption):
            words = option.code.name.replace("_", " ").lower() if option.code.name else ""
            more = (option.text or "")[:100]
            said.append(": ".join(each for each in (words, _printable(more)) if each))
    return f" ({'; '.join(said[:3])})" if said else ""


def shown(name: dns.name.Name) -> str:
    """Return a name for people, without its last dot."""
    return str(name.to_text(omit_final_dot=True))


def _text(record: Any) -> str:
    """Return a record as rules.records spells it."""
    kind = record.rdtype
    if kind in {dns.rdatatype.CNAME, dns.rdatatype.NS, dns.rdatatype.PTR}:
        return shown(record.target)
    if kind == dns.rdatatype.TXT:
        return b"".join(record.strings).decode("utf-8", "backslashreplace")
    if kind == dns.rdatatype.MX:
        return f"{record.preference} {shown(record.exchange)}"
    if kind == dns.rdatatype.SRV:
        return f"{record.priority} {record.weight} {record.port} {shown(record.target)}"
    if kind == dns.rdatatype.SOA:
        numbers = (record.serial, record.refresh, record.retry, record.expire, record.minimum)
        return " ".join([shown(record.mname), shown(record.rname), *map(str, numbers)])
    if kind == dns.rdatatype.CAA:
        value = record.value.decode("utf-8", "backslashreplace")
        return f'{record.flags} {record.tag.decode("ascii", "backslashreplace")} "{value}"'
    return str(record.to_text())


def _said(error: Exception) -> str:
    text = _printable(str(error).strip().rstrip("."))[:100]
    return text or type(error).__name__


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
