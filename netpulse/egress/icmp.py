"""Pings: one socket for each family, however many hosts are pinged at once.

A datagram socket where the system lets everybody ping (net.ipv4.ping_group_range), else a raw one
where NetPulse may open it. A reply counts only with its identifier, sequence number and token, and
from the address that was asked. Round trips end when the kernel received the reply, not when we
came to read it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import Struct

from netpulse.egress.deadlines import Deadline
from netpulse.egress.icmp_line import Line, Lone, OneOfSome, Round
from netpulse.egress.icmp_socket import Trouble
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError
from netpulse.model.check import Failure


class Pinged(Struct, frozen=True):
    """What came of some echo requests to one address."""

    address: str
    sent: int
    round_trips: tuple[float, ...]
    """Milliseconds, of those that came back, in the order they were sent."""
    trouble: Trouble | None = None
    """The last word from the way, if there was any."""


class Pinger:
    """Sends echo requests and hears the answers. Bound to the event loop that first uses it."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._leaving: set[Line] = set()

    async def ping(self, address: Address, *, packets: int, gap: float, deadline: float) -> Pinged:
        """Send `packets` echo requests to `address`, `gap` seconds apart, and wait for answers
        until `deadline`, a moment of the loop's clock.

        Raises:
            DialError: this host cannot send them: own_permission, own_limit, own_network.
        """
        loop = asyncio.get_running_loop()
        line = self._line(address.family)
        waiting: list[OneOfSome] = []
        ident, sequence = line.fresh()
        began, dropped, whose = loop.time(), line.dropped, Round(loop)
        line.held += 1
        try:
            for number in range(packets):
                if number:
                    pause = began + number * gap - loop.time()
                    if pause > 0:
                        await asyncio.sleep(pause)
                    if loop.time() >= deadline:
                        break
                one = line.prepare(ident, (sequence + number) & 0xFFFF, address.text, whose)
                waiting.append(one)
                while not line.send(one):
                    # The kernel's buffer is full for a moment.
                    await asyncio.sleep(0.005)
                    if loop.time() >= deadline:
                        raise _no_buffer(address)
            if whose.open:
                with contextlib.suppress(TimeoutError), Deadline(deadline):
                    await whose.all_back()
        finally:
            line.held -= 1
            for one in waiting:
                if one.came is None:
                    line.forget(one)
            if self._leaving:
                self._let_go()
        if line.dropped != dropped and not all(one.came is not None for one in waiting):
            raise _overflow(address.text)
        troubles = [one.came for one in waiting if isinstance(one.came, Trouble)]
        return Pinged(
            address=address.text,
            sent=len(waiting),
            round_trips=tuple([one.came for one in waiting if isinstance(one.came, float)]),
            trouble=troubles[-1] if troubles else None,
        )

    def ask(self, address: Address, *, seconds: float, told: Callable[[Lone], None]) -> Lone | None:
        """Send one echo request to `address` at once, and call `told` with it, once, when it is
        answered or `seconds` are over: what `ping` does with one packet, without a task.

        None where it cannot be sent just now; `ping` finds out why. `told` must not raise.
        """
        line = self._lines.get(address.family)
        if line is None or line.is_worn:
            try:
                line = self._line(address.family)
            except DialError:
                return None
        if self._leaving:
            self._let_go()
        return line.ask(address.text, seconds, told)

    def close(self) -> None:
        """Close the sockets."""
        for line in (*self._lines.values(), *self._leaving):
            line.close()
        self._lines.clear()
        self._leaving.clear()

    def _line(self, family: int) -> Line:
        line = self._lines.get(family)
        if line is not None and not line.is_worn:
            return line
        fresh = Line(family)
        if line is not None:
            self._leaving.add(line)
        self._lines[family] = fresh
        return fresh

    def _let_go(self) -> None:
        for line in [each for each in self._leaving if not (each.waiting or each.held)]:
            line.close()
            self._leaving.discard(line)


def result_of(lone: Lone) -> Pinged:
    """Return what came of a request that went alone.

    Raises:
        DialError: it is not known, for a reason of our own.
    """
    came = lone.came
    if came is None and lone.may_be_unread:
        raise _overflow(lone.address)
    return Pinged(
        address=lone.address,
        sent=1,
        round_trips=(came,) if isinstance(came, float) else (),
        trouble=came if isinstance(came, Trouble) else None,
    )


def _overflow(address: str) -> DialError:
    return DialError(
        Failure.OWN_LIMIT,
        "overflow",
        "more ICMP packets came than NetPulse could read: it is not known which were lost",
        address=address,
    )


def _no_buffer(address: Address) -> DialError:
    return DialError(
        Failure.OWN_LIMIT,
        "enobufs",
        f"this host's network takes no more packets for {address.text}",
        address=address.text,
    )
