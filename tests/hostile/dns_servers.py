"""Name servers as hosts of rows: one that is asked, one that answers from elsewhere, our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from netpulse.egress.connect import Egress
from tests.hostile.dns_answers import (
    SHOP,
)
from tests.hostile.rows import Place, Serve
from tests.nameserver import NameServer
from tests.servers import free_port

Query = dns.message.Message
Script = Callable[[Query, bytes], list[bytes]]
SOON = {"timeout_seconds": 1}


ZONE: dict[str, Any] = {
    SHOP: {
        "A": ["192.0.2.2", "192.0.2.1"],
        "AAAA": ["2001:DB8:0::1"],
        "MX": ["10 Mail.Example.", "20 backup.example."],
        "TXT": ['"v=spf1 -all"', '"two " "parts"'],
        "CNAME": [],
    },
    "www.example": {"CNAME": ["cdn.example."]},
    "cdn.example": {"CNAME": ["edge.example."]},
    "edge.example": {"A": ["198.51.100.7"]},
    "away.example": {"CNAME": ["edge.example."], "partial": True},
    "lost.example": {"CNAME": ["gone.example."]},
    "round.example": {"CNAME": ["about.example."]},
    "about.example": {"CNAME": ["round.example."]},
    "itself.example": {"CNAME": ["itself.example."], "partial": True},
    "to-refused.example": {"CNAME": ["refused.example."], "partial": True},
    "refused.example": "refused",
    "null.example": {"MX": ["0 ."]},
} | {
    f"c{number}.example": {"CNAME": [f"c{number + 1}.example."], "partial": True}
    for number in range(12)
}
del ZONE[SHOP]["CNAME"]


def asking(
    found: Any = None,
    name: str = SHOP,
    *,
    tcp: str = "answers",
    kind: type[NameServer] = NameServer,
) -> Serve:
    """Return how to ask a server that has `found` for the name; None: the zone."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[Place]:
        zone = ZONE if found is None else ZONE | {name: found}
        async with kind(zone, tcp=tcp) as server:
            yield Place(name, {"nameserver": server.address})

    return serve


class Elsewhere(NameServer):
    """Answers from another port than the one that was asked."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.hits += 1
        transport = self._transport
        try:
            self._transport = self._other
            super().datagram_received(data, addr)
        finally:
            self._transport = transport

    async def __aenter__(self) -> Elsewhere:
        """Come up."""
        await super().__aenter__()
        loop = asyncio.get_running_loop()
        self._other, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=self.other
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Go down."""
        self._other.close()
        await super().__aexit__(*exc)

    other = ("127.0.0.1", 0)


class AnotherAddress(Elsewhere):
    """Answers from another address."""

    other = ("127.0.0.2", 0)


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[Place]:
    """A port on which nothing listens."""
    yield Place(SHOP, {"nameserver": f"127.0.0.1:{free_port()}"})


def ours(*zones: Any) -> Serve:
    """Return how to ask this host's own name servers, which have these zones; None: none there."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[Place]:
        async with contextlib.AsyncExitStack() as stack:
            addresses = []
            for zone in zones:
                if zone is None:
                    addresses.append(f"127.0.0.1:{free_port()}")
                else:
                    addresses.append((await stack.enter_async_context(zone())).address)
            egress = Egress(nameservers=addresses)
            stack.push_async_callback(egress.close)
            yield Place(SHOP, egress=egress)

    return serve


def having(found: Any) -> Callable[[], NameServer]:
    """Return how to make a server that has `found` for the name."""
    return lambda: NameServer({SHOP: found})


class Deaf(NameServer):
    """Answers nobody."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Say nothing."""
        self.hits += 1
