"""Bytes from strangers: echo packets by our reader, DNS messages by our use of dnspython's."""

from __future__ import annotations

import contextlib
import socket
import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpulse.egress import echo
from netpulse.probes import messages, usual
from netpulse.rules import records, targets

FAMILIES = (socket.AF_INET, socket.AF_INET6)
V4_HEADER = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 84, 1, 0, 64, 1, 0, bytes(4), bytes(4))


@given(st.sampled_from(FAMILIES), st.binary(max_size=200), st.booleans())
@example(socket.AF_INET, bytes([0x4F]) + bytes(40), True)
@example(socket.AF_INET, V4_HEADER + bytes([3, 1]) + bytes(6) + bytes([0x4F]) + bytes(19), True)
def test_any_bytes(family: int, packet: bytes, raw: bool) -> None:
    heard = echo.read(family, packet, raw=raw)
    assert heard is None or isinstance(heard, echo.EchoReply | echo.EchoTrouble)
    if isinstance(heard, echo.EchoTrouble):
        detail, said = echo.explain(family, heard, "192.0.2.1")
        assert detail
        assert said


@given(st.sampled_from(FAMILIES), st.binary(max_size=100), st.binary(max_size=60))
def test_any_queue(family: int, sent: bytes, control: bytes) -> None:
    heard = echo.read_queued(family, sent, control)
    assert heard is None or heard.destination is None


idents = st.integers(0, 0xFFFF)


@given(
    idents, idents, st.binary(min_size=16, max_size=16), st.integers(0, 255), st.integers(0, 255)
)
def test_round_trip_and_its_trouble(
    ident: int, sequence: int, token: bytes, kind: int, code: int
) -> None:
    packet, foreseen = echo.exchange(socket.AF_INET, (ident, sequence), token)
    assert echo.checksum(packet) == 0
    reply = b"\0\0\0\0" + packet[4:]
    reply = reply[:2] + struct.pack("!H", echo.checksum(reply)) + reply[4:]
    assert reply == foreseen
    heard = echo.read(socket.AF_INET, V4_HEADER + reply, raw=True)
    assert heard == echo.EchoReply(ident, sequence, packet[8:])
    # One wrong bit and it is not believed.
    broken = bytearray(reply)
    broken[9] ^= 1
    assert echo.read(socket.AF_INET, V4_HEADER + bytes(broken), raw=True) is None
    trouble = bytes([kind, code]) + bytes(6) + V4_HEADER + packet
    trouble = trouble[:2] + struct.pack("!H", echo.checksum(trouble)) + trouble[4:]
    told = echo.read(socket.AF_INET, V4_HEADER + trouble, raw=True)
    if kind in {3, 11, 12}:
        assert told == echo.EchoTrouble(kind, code, ident, sequence, "0.0.0.0")
    else:
        assert not isinstance(told, echo.EchoTrouble)


ASKED = messages.question("shop.example", "A")


def _read(wire: bytes, asked: messages.Question = ASKED) -> None:
    quick = usual.records(asked, wire)
    try:
        message = messages.read(asked, wire)
        found = messages.found(asked, message)
    except messages.Malformed:
        assert quick is None
        return
    if quick is not None:
        assert (quick, "noerror") == (found.records, messages.rcode(message))
        assert not messages.is_truncated(message)
    assert all(isinstance(each, str) for each in found.records)
    messages.rcode(message)
    messages.reasons(message)
    messages.refers(message)


@given(st.binary(max_size=300))
def test_any_message(rest: bytes) -> None:
    _read(rest)
    _read(ASKED.wire[:2] + rest)


@given(st.data())
def test_answers_with_wrong_bytes(data: st.DataObject) -> None:
    reply = dns.message.make_response(dns.message.from_wire(ASKED.wire))
    kinds = {
        "A": "192.0.2.1",
        "CNAME": "cdn.example.",
        "MX": "10 mail.example.",
        "TXT": '"a" "b"',
        "SOA": "a. b. 1 2 3 4 5",
        "SRV": "1 2 3 sip.example.",
        "CAA": '0 issue "ca.example"',
        "AAAA": "2001:db8::1",
        "NAPTR": '1 1 "u" "s" "!a!b!" .',
    }
    for kind in data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=4)):
        reply.answer.append(dns.rrset.from_text("shop.example.", 60, "IN", kind, kinds[kind]))
    wire = bytearray(reply.to_wire())
    for _ in range(data.draw(st.integers(0, 6))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    _read(bytes(wire[: data.draw(st.integers(0, len(wire)))]))
    _read(bytes(wire))


addresses = st.binary(min_size=16, max_size=16)
seconds = st.sampled_from((0, 60, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))


@given(
    st.sampled_from(("A", "AAAA")),
    st.lists(st.tuples(addresses, seconds), min_size=1, max_size=5),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=3),
    st.binary(max_size=3),
)
@example("AAAA", [(bytes(10) + b"\xff\xff\xc0\0\2\1", 60)], True, [], b"")
@example("AAAA", [(bytes(12) + b"\xc0\0\2\1", 60), (bytes(15) + b"\1", 60)], False, [], b"")
def test_both_readings_agree_about_the_usual(
    kind: str,
    found: list[tuple[bytes, int]],
    edns: bool,
    wrong: list[tuple[int, int]],
    more: bytes,
) -> None:
    asked = messages.question("shop.example", kind)
    size = 4 if kind == "A" else 16
    head = asked.wire[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, int(edns))
    number = 1 if kind == "A" else 28
    answers = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", number, 1, ttl, size) + address[:size]
        for address, ttl in found
    )
    wire = head + asked.plain_wire[12:] + answers
    if edns:
        wire += b"\0" + struct.pack("!HHIH", 41, 1232, 0x8000, 0)
    assert usual.records(asked, wire) is not None
    _read(wire, asked)
    changed = bytearray(wire + more)
    for at, value in wrong:
        changed[2 + at % (len(changed) - 2)] = value
    _read(bytes(changed), asked)


@pytest.mark.parametrize(("kind", "size", "most"), [("A", 4, 254), ("AAAA", 16, 145)])
def test_a_long_answer_is_left_to_the_reading_in_a_thread(kind: str, size: int, most: int) -> None:
    """All of 64 KiB on the loop would take it 7 to 13 ms."""
    asked = messages.question("shop.example", kind)
    number = {"A": 1, "AAAA": 28}[kind]
    for count, quickly in ((most, True), (most + 1, False), (60_000 // (size + 12), False)):
        answers = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 60, size) + index.to_bytes(size, "big")
            for index in range(count)
        )
        head = asked.wire[:2] + struct.pack("!HHHHH", 0x8580, 1, count, 0, 0)
        found = usual.records(asked, head + asked.plain_wire[12:] + answers)
        assert (found is not None) is quickly


texts = st.text(max_size=40) | st.from_regex(r'[0-9a-z ."\\:-]{0,40}', fullmatch=True)


@given(st.sampled_from(sorted(records._PARSERS)), texts, texts)
def test_expected_values(kind: str, wanted: str, answer: str) -> None:
    assert isinstance(records.fits(kind, wanted, answer), bool)
    try:
        spelled = records.expected(kind, wanted)
    except records.RecordError:
        return
    else:
        if kind != "TXT":  # a text in quotation marks may hold another one
            assert records.expected(kind, spelled) == spelled
        assert records.fits(kind, wanted, wanted)


@given(texts)
def test_targets(text: str) -> None:
    for reads in (
        records.nameserver,
        lambda text: records.question(text, "PTR"),
        targets.ping_host,
    ):
        with contextlib.suppress(targets.TargetError):
            reads(text)
