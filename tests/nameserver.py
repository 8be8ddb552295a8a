"""A name server on loopback that answers over UDP and TCP as a script says, well or badly.

    async with NameServer({"shop.example": {"A": ["192.0.2.1"]}}) as server:
        ... server.address ... server.hits

A zone maps a name to {type: records}, to a function of the question (as a message, and as bytes)
that returns what is sent, or to a word: nxdomain, servfail, refused, notimp, formerr,
silent, malformed, short, question, echo, other_question, bare, wrong_id, late, strays_first,
truncated, huge, no_edns, drop_edns, referral, loop, chain, broken_record.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any, Self

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.servers import linger

Zone = Mapping[str, Any]
RCODES = ("nxdomain", "servfail", "refused", "notimp", "formerr")


class NameServer(asyncio.DatagramProtocol):
    """Counts the questions that reach it: `hits` over UDP, `tcp_hits` over TCP."""

    def __init__(self, zone: Zone, *, host: str = "127.0.0.1", tcp: str = "answers") -> None:
        """`tcp`: answers, refused, silent, closes, half, wrong_id, truncated, resets, drips, empty."""
        self.zone = {name.lower(): value for name, value in zone.items()}
        self.host = host
        self.tcp = tcp
        self.asked: list[tuple[str, str]] = []
        self.sources: list[int] = []
        self.idents: list[int] = []
        self.hits = 0
        self.tcp_hits = 0
        self.port = 0
        self._later: list[asyncio.TimerHandle] = []

    @property
    def address(self) -> str:
        """What a monitor's `nameserver` says."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(50):
            self._transport, _protocol = await loop.create_datagram_endpoint(
                lambda: self, local_addr=(self.host, 0)
            )
            self.port = self._transport.get_extra_info("sockname")[1]
            if self.tcp == "refused":
                return self
            try:
                self._server = await asyncio.start_server(self._talk, self.host, self.port)
            except OSError:
                self._transport.close()  # somebody else has that port over TCP
                continue
            return self
        raise RuntimeError("no port is free over both UDP and TCP")

    async def __aexit__(self, *exc: object) -> None:
        for handle in self._later:
            handle.cancel()
        self._transport.close()
        if self.tcp != "refused":
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.hits += 1
        self.sources.append(addr[1])
        for delay, wire in self._answers(data, over_tcp=False):
            loop = asyncio.get_running_loop()
            if delay:
                self._later.append(loop.call_later(delay, self._transport.sendto, wire, addr))
            else:
                self._transport.sendto(wire, addr)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(size)
            self.tcp_hits += 1
            if self.tcp == "silent":
                await reader.read()
            elif self.tcp == "empty":
                writer.write(b"\0\0")
            elif self.tcp == "resets":
                linger(writer)
                writer.transport.abort()
                return
            elif self.tcp != "closes":
                for _, wire in self._answers(data, over_tcp=True):
                    whole = len(wire).to_bytes(2, "big") + wire
                    if self.tcp == "half":
                        whole = whole[: len(whole) // 2]
                    # In pieces: nobody promises that a message comes at once.
                    size = 1 if self.tcp == "drips" else len(whole)
                    for start in (0, *range(1, len(whole), size)):
                        writer.write(whole[start : start + size] if start else whole[:1])
                        await writer.drain()
        writer.close()

    def _answers(self, data: bytes, *, over_tcp: bool) -> list[tuple[float, bytes]]:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self.idents.append(query.id)
        found = self.zone.get(name, "nxdomain")
        if callable(found):
            return [(0, wire) for wire in found(query, data)]
        reply = dns.message.make_response(query)
        good = reply.to_wire()
        word = found if isinstance(found, str) else ""
        edns = query.edns >= 0
        if word == "silent" or (word == "drop_edns" and edns):
            return []
        if word == "no_edns" and edns:
            reply.set_rcode(dns.rcode.FORMERR)
            reply.use_edns(False)
            return [(0, reply.to_wire())]
        if word == "servfail":
            reply.use_edns(
                0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "no\nsig")]
            )
        if word in RCODES:
            reply.set_rcode(dns.rcode.from_text(word.upper()))
            return [(0, reply.to_wire())]
        if word == "malformed":
            return [(0, data[:2] + b"\x81\x80not a message")]
        if word == "short":
            return [(0, data[:2] + b"\x81")]
        if word == "echo":
            return [(0, data)]
        if word == "other_question":
            other = dns.message.make_query("other.example", "A", id=query.id)
            return [(0, dns.message.make_response(other).to_wire())]
        if word == "bare":
            return [(0, data[:2] + b"\x81\x80" + bytes(8))]
        if word == "late":
            self._add(reply, name, "A", ["192.0.2.1"])
            return [(0.4, reply.to_wire())]
        if word in {"wrong_id", "strays_first"}:
            self._add(reply, name, "A", ["192.0.2.66"])
            stray = reply.to_wire()
            stray = bytes([stray[0] ^ 0xFF]) + stray[1:]
            right = dns.message.make_response(query)
            self._add(right, name, "A", ["192.0.2.1"])
            return [(0, stray)] * 3 + ([(0, right.to_wire())] if word == "strays_first" else [])
        if word in {"truncated", "huge"}:
            count = 4 if word == "truncated" else 3000
            addresses = [f"198.51.{number // 250}.{number % 250}" for number in range(count)]
            self._add(reply, name, "A", addresses)
            if not over_tcp or self.tcp == "truncated":
                cut = dns.message.make_response(query)
                cut.flags |= dns.flags.TC
                return [(0, cut.to_wire())]
            wire = reply.to_wire(max_size=65_535)
            return [(0, bytes([wire[0] ^ 0xFF]) + wire[1:] if self.tcp == "wrong_id" else wire)]
        if word == "referral":
            reply.authority.append(
                dns.rrset.from_text("example.", 60, "IN", "NS", "ns.elsewhere.example.")
            )
            return [(0, reply.to_wire())]
        if word == "broken_record":
            # One A record of three bytes.
            record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x03\x7f\0\0"
            return [(0, good[:6] + b"\0\x01\0\0\0\0" + self._after_header(data) + record)]
        if word in {"drop_edns", "no_edns"}:
            found = {"A": ["192.0.2.1"]}
        self._fill(reply, name, kind, found)
        return [(0, reply.to_wire(max_size=65_535))]

    @staticmethod
    def _after_header(data: bytes) -> bytes:
        end = data.index(b"\0", 12) + 5
        return data[12:end]

    def _fill(self, reply: Any, name: str, kind: str, found: Any) -> None:
        """Add the records of a name, with its CNAMEs as a resolver does (those it has)."""
        for _ in range(20):
            if not isinstance(found, Mapping):
                if found == "nxdomain":
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                return
            if kind in found:
                self._add(reply, name, kind, found[kind])
                return
            if "CNAME" not in found:
                soa = "ns.example. root.example. 1 2 3 4 5"
                reply.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", soa))
                return
            target = found["CNAME"][0]
            self._add(reply, name, "CNAME", [target])
            name = target.rstrip(".").lower()
            if name not in self.zone or found.get("partial"):
                return  # not ours: whoever asks has to go on
            found = self.zone[name]

    @staticmethod
    def _add(reply: Any, name: str, kind: str, records: list[str]) -> None:
        owner = dns.name.from_text(name)
        reply.answer.append(dns.rrset.from_text_list(owner, 300, "IN", kind, records))


def can_ping(family: int) -> bool:
    """Tell whether this host lets us ping at all, and has the family's loopback address."""
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(family, kind, protocol) as sock:
                address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
                sock.connect((address, 0))
                return True
        except OSError:
            continue
    return False
