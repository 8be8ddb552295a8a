"""What a name server may say: good answers with one thing wrong, and bytes as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

Query = dns.message.Message
Script = Callable[[Query, bytes], list[bytes]]
SHOP = "shop.example"
GOOD = "192.0.2.1"
SOON = {"timeout_seconds": 1}


def answered(query: Query, *records: str, kind: str = "A", owner: str = "") -> Query:
    """Return the answer with these records."""
    reply = dns.message.make_response(query)
    name = owner or query.question[0].name.to_text()
    reply.answer.append(dns.rrset.from_text_list(name, 300, "IN", kind, records or [GOOD]))
    return reply


def changed(change: Callable[[Query], None]) -> Script:
    """Return a good answer with one thing changed."""

    def script(query: Query, data: bytes) -> list[bytes]:
        del data
        reply = answered(query)
        change(reply)
        return [reply.to_wire(max_size=65_535)]

    return script


def wired(change: Callable[[bytes, bytes], bytes]) -> Script:
    """Return a good answer whose bytes are changed; the other argument is the question section."""

    def script(query: Query, data: bytes) -> list[bytes]:
        query.use_edns(False)
        wire = answered(query).to_wire()
        return [change(wire, data[12 : data.index(b"\0", 12) + 5])]

    return script


def counts(wire: bytes, answers: int) -> bytes:
    """Return a message that says it has so many answers."""
    return wire[:6] + struct.pack("!H", answers) + wire[8:]


def body(*records: bytes) -> Script:
    """Return an answer with these records as they are."""

    def script(query: Query, data: bytes) -> list[bytes]:
        del query
        section = data[12 : data.index(b"\0", 12) + 5]
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        return [head + section + b"".join(records)]

    return script


def record(owner: bytes = b"\xc0\x0c", kind: int = 1, data: bytes = b"\xc0\0\2\1") -> bytes:
    """Return a record; the owner points to the question."""
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def not_an_answer(reply: Query) -> None:
    """Make it a question."""
    reply.flags &= ~dns.flags.QR


def status(reply: Query) -> None:
    """Make it the answer to another kind of request."""
    reply.set_opcode(dns.opcode.STATUS)


def chaos(reply: Query) -> None:
    """Answer in class CH."""
    name = reply.question[0].name
    reply.question = [dns.rrset.from_text(name, 0, "CH", "A")]


def two_questions(reply: Query) -> None:
    """Repeat the question twice."""
    reply.question.append(dns.rrset.from_text("other.example.", 0, "IN", "A"))


def another_type(reply: Query) -> None:
    """Answer a question for another type."""
    reply.question = [dns.rrset.from_text(reply.question[0].name, 0, "IN", "AAAA")]


def upper(query: Query, data: bytes) -> list[bytes]:
    """Spell all names in capitals, question and answer."""
    wire = answered(query).to_wire()
    del data
    return [wire.replace(b"\x04shop\x07example", b"\x04SHOP\x07EXAMPLE")]


def other_owner(query: Query, data: bytes) -> list[bytes]:
    """Give the address of somebody else."""
    del data
    return [answered(query, owner="other.example.").to_wire()]


def other_records(query: Query, data: bytes) -> list[bytes]:
    """Give records of another type only."""
    del data
    return [answered(query, "text", kind="TXT").to_wire()]


def nxdomain_with_records(query: Query, data: bytes) -> list[bytes]:
    """Say NXDOMAIN, and give an address."""
    del data
    reply = answered(query)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return [reply.to_wire()]


def chain_backwards(query: Query, data: bytes) -> list[bytes]:
    """Give the records of a chain of CNAMEs in the wrong order."""
    del data
    reply = answered(query, owner="edge.example.")
    for owner, to in (("cdn.example.", "edge.example."), (f"{SHOP}.", "cdn.example.")):
        reply.answer.append(dns.rrset.from_text(owner, 300, "IN", "CNAME", to))
    return [reply.to_wire()]


def cname_beside(query: Query, data: bytes) -> list[bytes]:
    """Give a CNAME and an address of the same name (RFC 1034, 3.6.2 forbids it)."""
    del data
    reply = answered(query)
    name = query.question[0].name
    reply.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", "edge.example."))
    return [reply.to_wire()]


def badvers(query: Query, data: bytes) -> list[bytes]:
    """Answer EDNS with BADVERS, and all else well."""
    del data
    reply = dns.message.make_response(query) if query.edns >= 0 else answered(query)
    if query.edns >= 0:
        reply.use_edns(0)
        reply.set_rcode(dns.rcode.BADVERS)
    return [reply.to_wire()]


def bare_formerr(query: Query, data: bytes) -> list[bytes]:
    """Answer EDNS with FORMERR and no question, and all else well."""
    if query.edns >= 0:
        return [data[:2] + struct.pack("!HHHHH", 0x8181, 0, 0, 0, 0)]
    return [answered(query).to_wire()]


def stray_then_good(stray: Callable[[bytes], bytes]) -> Script:
    """Return something else first, then a good answer."""

    def script(query: Query, data: bytes) -> list[bytes]:
        del data
        good = answered(query).to_wire()
        return [stray(good), good]

    return script


def twice(query: Query, data: bytes) -> list[bytes]:
    """Answer twice."""
    del data
    return [answered(query).to_wire()] * 2


def two_minds(query: Query, data: bytes) -> list[bytes]:
    """Answer, and deny it."""
    del data
    denied = dns.message.make_response(query)
    denied.set_rcode(dns.rcode.NXDOMAIN)
    return [answered(query).to_wire(), denied.to_wire()]
