"""Pings, and what comes back: see tests/hostile/icmp_host.py for who sends it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from tests import netns
from tests.hostile.icmp_host import (
    SOMEBODY_ELSE,
    Answer,
    Echo,
    Packet,
    error,
    far,
    forbidden,
    raw_only,
    reply,
)
from tests.hostile.rows import Chapter, Row

__all__ = ["CHAPTERS", "raw_only"]

_SHOWS = "is up: it counts such a reply"
PING = {
    "another sequence number": f"{_SHOWS}, though it sent no such ping",
    "from another address": f"{_SHOWS}, and notes the address",
    "from another address, IPv6": f"{_SHOWS}, and notes the address",
    "other bytes": f"{_SHOWS}, and prints what differs",
    "no bytes": f"{_SHOWS}, as truncated",
    "a reply with a code": f"{_SHOWS}: it does not look at the code",
    "loses one of two, 50% allowed": "is up: one reply is enough for its exit status",
    "loses one of three, none allowed": "is up: one reply is enough for its exit status",
}
BLACKBOX = {
    "answers with more bytes than were sent": "is down: it compares the whole packet; the bytes"
    " that were sent are all there",
}

# ---------------------------------------------------------------- rows


def each(change: Callable[[Echo], Packet]) -> Answer:
    """Return one packet for every ping."""
    return lambda echo: [change(echo)]


def by_number(*answers: Answer) -> Answer:
    """Return another answer for every ping in turn."""
    return lambda echo: answers[echo.number % len(answers)](echo)


def silent(echo: Echo) -> list[Packet]:
    """Say nothing."""
    del echo
    return []


def about(echo: Echo, *, ident: int = 0, sequence: int = 0, to: bytes = b"") -> Packet:
    """Return "host unreachable" about a ping that is not the one that came."""
    quote = bytearray(echo.quote)
    if to:
        quote[16:20] = to
    quote[24:28] = struct.pack("!HH", echo.ident ^ ident, echo.sequence ^ sequence)
    return error(echo, 3, 1, bytes(quote))


good = each(reply)


def twice(echo: Echo) -> list[Packet]:
    """Answer twice."""
    return [reply(echo)] * 2


def fifty_times(echo: Echo) -> list[Packet]:
    """Answer fifty times."""
    return [reply(echo)] * 50


def strays_first(echo: Echo) -> list[Packet]:
    """Everything wrong first, and then what is right."""
    elsewhere = SOMEBODY_ELSE[echo.version]
    return [
        reply(echo, ident=1),
        reply(echo, sequence=1),
        reply(echo, payload=bytes(56)),
        reply(echo, source=elsewhere),
        reply(echo, delay=0.02),
    ]


def _row(name: str, answer: Answer | None, said: str, detail: str | None = None, **more: object):
    fields = {"timeout_seconds": 1, "packets": 2, **more.pop("fields", {})}  # type: ignore[dict-item]
    where = {key: more.pop(key) for key in ("target", "six") if key in more}
    serve = more.pop("serve", None) or far(answer, **where)  # type: ignore[arg-type]
    return Row(
        name,
        serve,  # type: ignore[arg-type]
        said,
        detail,
        kind="icmp",
        fields=fields,
        seconds=more.pop("seconds", 0.6),  # type: ignore[arg-type]
        missing=netns.why_not,
        ping=PING.get(name, ""),
        blackbox=BLACKBOX.get(name, ""),
        **more,  # type: ignore[arg-type]
    )


_LOST = "down loss"
_NONE = "no answer from {at} to any of 2 pings"
_AWAY = "down unreachable"

CHAPTERS = (
    Chapter(
        "Pings that come back",
        "A reply counts with its identifier, its sequence number and the bytes that were sent, and"
        " from the address that was asked: once. Each row holds for a datagram socket and for a raw"
        " one.",
        (
            _row("answers", good, "up"),
            _row("answers, IPv6", good, "up", six=True),
            _row("answers twice", twice, "up"),
            _row("answers fifty times", fifty_times, "up"),
            _row(
                "answers in the wrong order",
                lambda echo: [reply(echo, delay=0.3 - 0.25 * echo.number)],
                "up",
            ),
            _row("answers after a while", each(lambda echo: reply(echo, delay=0.3)), "up"),
            _row(
                "answers with more bytes than were sent",
                each(lambda echo: reply(echo, payload=echo.payload + b"more")),
                "up",
            ),
            _row("wrong replies, and then the right one", strays_first, "up"),
            _row("wrong replies, and then the right one, IPv6", strays_first, "up", six=True),
            _row(
                "answers some other time",
                each(lambda echo: reply(echo, delay=2)),
                _LOST,
                words=_NONE,
            ),
            _row("is silent", silent, _LOST, words=_NONE),
            _row("is silent, IPv6", silent, _LOST, six=True, words=_NONE),
        ),
    ),
    Chapter(
        "Replies that do not count",
        "What belongs to nobody's ping, or to somebody else's, is ignored.",
        (
            _row("another identifier", each(lambda echo: reply(echo, ident=1)), _LOST, words=_NONE),
            _row(
                "another identifier, IPv6",
                each(lambda echo: reply(echo, ident=1)),
                _LOST,
                six=True,
            ),
            _row("another sequence number", each(lambda echo: reply(echo, sequence=0x5000)), _LOST),
            _row(
                "from another address",
                each(lambda echo: reply(echo, source=SOMEBODY_ELSE[4])),
                _LOST,
            ),
            _row(
                "from another address, IPv6",
                each(lambda echo: reply(echo, source=SOMEBODY_ELSE[6])),
                _LOST,
                six=True,
            ),
            _row("other bytes", each(lambda echo: reply(echo, payload=bytes(56))), _LOST),
            _row("no bytes", each(lambda echo: reply(echo, payload=b"")), _LOST),
            _row("a wrong checksum", each(lambda echo: reply(echo, broken=True)), _LOST),
            _row("a reply with a code", each(lambda echo: reply(echo, code=7)), _LOST),
            _row("a header and no more", each(lambda _: Packet(0, 0, b"")), _LOST),
            _row(
                "the ping itself, back",
                each(lambda echo: Packet(8, 0, echo.quote[24:])),
                _LOST,
            ),
            _row("a timestamp reply", each(lambda echo: Packet(14, 0, echo.quote[24:40])), _LOST),
        ),
    ),
    Chapter(
        "Loss",
        "`max_loss_percent` (100) is down, else `degraded_loss_percent` (50) degraded.",
        (
            _row(
                "loses one of two",
                by_number(good, silent),
                "degraded",
                "loss",
                words="1 of 2 pings lost, 50% (limit 50%)",
            ),
            _row("loses one of three", by_number(good, silent, good), "up", fields={"packets": 3}),
            _row(
                "loses one of two, 50% allowed",
                by_number(silent, good),
                _LOST,
                fields={"max_loss_percent": 50},
                words="1 of 2 pings lost, 50% (limit 50%)",
            ),
            _row(
                "loses one of three, none allowed",
                by_number(silent, good, good),
                _LOST,
                fields={"packets": 3, "max_loss_percent": 1},
                words="1 of 3 pings lost, 33% (limit 1%)",
            ),
            _row("must not answer, and does not", silent, "up", fields={"invert": True}),
            _row(
                "must not answer, and does",
                good,
                "down mismatch",
                "inverted",
                fields={"invert": True},
            ),
        ),
    ),
    Chapter(
        "Unreachable",
        "The word of the way, and whose it is, when nothing else comes back.",
        (
            _row(
                "network unreachable",
                each(lambda echo: error(echo, 3, 0)),
                _AWAY,
                "network",
                words="{at} cannot be reached: {at} says ",
            ),
            _row("host unreachable", each(lambda echo: error(echo, 3, 1)), _AWAY, "host"),
            _row("protocol unreachable", each(lambda echo: error(echo, 3, 2)), _AWAY, "protocol"),
            _row("port unreachable", each(lambda echo: error(echo, 3, 3)), _AWAY, "port"),
            _row("prohibited", each(lambda echo: error(echo, 3, 13)), _AWAY, "prohibited"),
            _row("too many hops", each(lambda echo: error(echo, 11, 0)), _AWAY, "ttl_exceeded"),
            _row(
                "network unreachable, IPv6",
                each(lambda echo: error(echo, 1, 0)),
                _AWAY,
                "network",
                six=True,
            ),
            _row(
                "prohibited, IPv6",
                each(lambda echo: error(echo, 1, 1)),
                _AWAY,
                "prohibited",
                six=True,
            ),
            _row(
                "host unreachable, IPv6",
                each(lambda echo: error(echo, 1, 3)),
                _AWAY,
                "host",
                six=True,
            ),
            _row(
                "too many hops, IPv6",
                each(lambda echo: error(echo, 3, 0)),
                _AWAY,
                "ttl_exceeded",
                six=True,
            ),
            _row(
                "a router knows no way",
                None,
                _AWAY,
                "host",
                target="203.0.113.7",
                words="203.0.113.7 cannot be reached: 10.77.0.1 says ",
            ),
            _row("a router prohibits it, IPv6", None, _AWAY, "prohibited", target="fd79::7"),
            _row("a router drops it", None, _LOST, target="192.0.2.7", words=_NONE),
            _row(
                "nobody has the address",
                None,
                _AWAY,
                "host",
                target="10.77.0.99",
                fields={"timeout_seconds": 4},
                seconds=3.8,
            ),
            _row("a broadcast address", None, _AWAY, "broadcast", target="10.77.0.255"),
            _row(
                "unreachable once, and then answers",
                by_number(each(lambda echo: error(echo, 3, 1)), good),
                "degraded",
                "loss",
            ),
            _row(
                "unreachable about another ping of ours",
                each(lambda echo: about(echo, sequence=0x5000)),
                _LOST,
            ),
            _row(
                "unreachable about somebody else's ping",
                each(lambda echo: about(echo, ident=1)),
                _LOST,
            ),
            _row(
                "unreachable that quotes half a packet",
                each(lambda echo: error(echo, 3, 1, echo.quote[:22])),
                _LOST,
            ),
            _row(
                "unreachable that quotes nothing",
                each(lambda echo: error(echo, 3, 1, b"")),
                _LOST,
            ),
            _row(
                "source quench, and an answer",
                lambda echo: [error(echo, 4, 0), reply(echo)],
                "up",
            ),
            _row(
                "unreachable about a ping to another address",
                each(lambda echo: about(echo, to=socket.inet_aton(SOMEBODY_ELSE[4]))),
                _LOST,
            ),
            _row(
                "packet too big, IPv6",
                each(lambda echo: error(echo, 2, 0)),
                _AWAY,
                "icmp_2_0",
                six=True,
            ),
        ),
    ),
    Chapter(
        "Our own side of a ping",
        "What this host cannot do is not the target's fault.",
        (
            _row(
                "this host lets nobody ping",
                None,
                "inconclusive own_permission",
                "ping",
                serve=forbidden,
                words='sysctl -w net.ipv4.ping_group_range="0 2147483647"',
            ),
            _row(
                "this host has no IPv6 route",
                None,
                "inconclusive own_network",
                "no_route",
                target="2001:db8::1",
                words="this host has no IPv6 route to 2001:db8::1",
            ),
            _row("multicast", None, "down blocked", target="224.0.0.1"),
            _row("cloud metadata", None, "down blocked", target="169.254.169.254"),
            _row("link-local", None, "down blocked", target="fe80::1"),
            _row("loopback answers", None, "up", target="127.0.0.1"),
        ),
    ),
)
