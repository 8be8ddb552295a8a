"""Connecting: names, the policy on addresses, two families at once, whose fault a failure is."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from netpulse.egress.answer import Answer
from netpulse.egress.attempt import Attempt
from netpulse.egress.resolver import Address, Resolver, literal
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError, from_connect, from_local
from netpulse.model.check import OWN_FAILURES, Failure
from netpulse.rules.addresses import AddressPolicy, refusal

if TYPE_CHECKING:
    from netpulse.egress.icmp import Pinger
    from netpulse.egress.post import Poster

__all__ = ["DialError", "Dialled", "Egress"]

HEAD_START = 0.25
"""Seconds an address has before the next one is tried beside it (RFC 8305)."""
MOST_ADDRESSES = 6
_DATAGRAM = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK

FAMILIES: dict[int | None, int] = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}

# When every address fails, the most telling word wins: what the target said itself, then what the
# network said, and our own missing route only when nothing else is known.
_TELLING = (Failure.REFUSED, Failure.RESET, Failure.UNREACHABLE, Failure.TIMEOUT)


class Dialled(Struct, frozen=True):
    """A connected, non-blocking socket, and what it took. The caller closes it."""

    sock: socket.SocketType
    address: str
    family: int
    dns_ms: float
    connect_ms: float


class Egress:
    """The way out. One for the process; `under` gives views of it with another policy.

    `nameservers` ("address:port") replace the system's, for tests and odd networks.
    """

    def __init__(
        self, policy: AddressPolicy | None = None, *, nameservers: Sequence[str] = ()
    ) -> None:
        self.policy = policy or AddressPolicy()
        self.resolver = Resolver(nameservers)
        self._poster: Poster | None = None
        self._pinger: Pinger | None = None
        self._parent: Egress | None = None

    def under(self, policy: AddressPolicy) -> Egress:
        """Return this way out with another policy; it shares everything and need not be closed."""
        view = Egress.__new__(Egress)
        view.policy = policy
        view.resolver = self.resolver
        view._poster = None
        view._pinger = None
        view._parent = self._parent or self
        return view

    def at_once(
        self,
        host: str,
        port: int,
        *,
        family: int | None = None,
        policy: AddressPolicy | None = None,
        trace: Trace,
    ) -> Attempt | None:
        """Begin to connect where nothing has to be waited for before: the address is known, and
        there is one. None where it is not so; `dial` goes on with either.

        Raises:
            DialError: as for `dial`.
        """
        trace.phase, trace.port, trace.addresses = "dns", port, ()
        found = self.resolver.known(host, FAMILIES[family])
        if found is None or len(found) > 1:
            return None
        (address,) = found
        trace.resolved(0.0)
        why = refusal(address.text, port, policy or self.policy)
        if why is not None:
            raise DialError(Failure.BLOCKED, None, why, address=address.text)
        trace.address = address.text
        trace.addresses = (address.text,)
        return Attempt(address, port)

    async def dial(
        self,
        host: str,
        port: int,
        *,
        family: int | None = None,
        policy: AddressPolicy | None = None,
        deadline: float,
        trace: Trace | None = None,
        guarded: bool = False,
        begun: Attempt | None = None,
    ) -> Dialled:
        """Connect to `host` (an ASCII name or an address without brackets) and `port`.

        `family` is 4, 6, or None for whichever answers first (RFC 8305); a demanded family never
        falls back. `deadline` is a moment of the loop's clock; `guarded`: the caller has a timer
        for it already, and a second one would only cost. `begun` is what `at_once` gave. Each
        address is held against the policy when it is dialled, so a name cannot lead where an
        address may not.

        Raises:
            DialError: with the failure, its refinement and a sentence; `timeout` when the
                deadline strikes.
        """
        trace = trace if trace is not None else Trace()
        way = policy or self.policy
        if begun is None:
            begun = self.at_once(host, port, family=family, policy=way, trace=trace)
        if begun is not None and begun.stands:
            return _dialled(begun, 0.0, begun.connect_ms, trace)
        if guarded:
            return await self._dial(host, port, family, way, deadline, trace, begun)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._dial(host, port, family, way, deadline, trace, begun)
        except TimeoutError:
            where = trace.address or host
            raise DialError(
                Failure.TIMEOUT,
                trace.phase,
                f"no answer in time from {where} port {port}",
                address=trace.address,
            ) from None

    async def _dial(
        self,
        host: str,
        port: int,
        family: int | None,
        policy: AddressPolicy,
        deadline: float,
        trace: Trace,
        begun: Attempt | None,
    ) -> Dialled:
        if begun is not None:
            await begun.standing()
            return _dialled(begun, 0.0, begun.connect_ms, trace)
        began = time.perf_counter()
        found = await self.resolver.addresses(host, FAMILIES[family], deadline)
        dns_ms = (time.perf_counter() - began) * 1000
        trace.resolved(dns_ms)
        allowed = self._allowed(found, port, policy)
        # Never those that are not: whoever may not go there need not learn the way.
        trace.addresses = tuple([each.text for each in allowed])
        began = time.perf_counter()
        try:
            first = await _first(allowed, port, trace)
        except DialError:
            if len(allowed) < len(found):
                # The name leads where it may not, too: that is what has to be mended.
                self._allowed([one for one in found if one not in allowed], port, policy)
            raise
        return _dialled(first, dns_ms, (time.perf_counter() - began) * 1000, trace)

    async def resolve(self, host: str, port: int, *, deadline: float) -> tuple[Address, ...]:
        """Return the addresses of `host` that may be dialled, best first; `port` 0 where the
        protocol has none.

        Raises:
            DialError: no address, or none that is allowed; `timeout` when the deadline strikes.
        """
        itself = literal(host)
        if itself is not None:
            return tuple(self._allowed((itself,), port, self.policy))
        try:
            async with asyncio.timeout_at(deadline):
                found = await self.resolver.addresses(host, socket.AF_UNSPEC, deadline)
        except TimeoutError:
            raise DialError(
                Failure.TIMEOUT, "dns", f"no answer in time: looking up {host}"
            ) from None
        return tuple(self._allowed(found, port, self.policy))

    @property
    def pinger(self) -> Pinger:
        """The process's way to ping; whoever pings holds the address against `resolve` first."""
        root = self._parent or self
        if root._pinger is None:
            from netpulse.egress.icmp import Pinger

            root._pinger = Pinger()
        return root._pinger

    def datagram(self, address: Address, port: int, *, ours: bool = False) -> socket.SocketType:
        """Return a UDP socket, with a random port of ours, that speaks with `address` alone.

        `ours`: an address of this host's own configuration, which the policy is not about.

        Raises:
            DialError: it may not be dialled, or this host has no way there.
        """
        why = None if ours else refusal(address.text, port, self.policy)
        if why is not None:
            raise DialError(Failure.BLOCKED, None, why, address=address.text)
        try:
            sock = socket.SocketType(address.family, _DATAGRAM)
        except OSError as error:
            raise from_local(error) from None
        try:
            sock.connect((address.text, port))
        except OSError as error:
            sock.close()
            raise from_connect(error, address.family, address.text, port) from None
        return sock

    async def stream(
        self, address: Address, port: int, *, ours: bool = False, deadline: float
    ) -> socket.SocketType:
        """Return a TCP connection to one address; `ours` as for `datagram`.

        Raises:
            DialError: it does not answer, or may not be dialled.
        """
        if not ours:
            self._allowed((address,), port, self.policy)
        try:
            async with asyncio.timeout_at(deadline):
                return (await _connect(address, port)).sock
        except TimeoutError:
            raise DialError(
                Failure.TIMEOUT, "connect", "no answer in time", address=address.text
            ) from None

    async def redial(self, dialled: Dialled, port: int, *, deadline: float) -> socket.SocketType:
        """Connect once more to the very address of `dialled`.

        Raises:
            DialError: it does not answer this time.
        """
        again = Address(dialled.family, dialled.address)
        self._allowed((again,), port, self.policy)
        try:
            async with asyncio.timeout_at(deadline):
                return (await _connect(again, port)).sock
        except TimeoutError:
            raise DialError(
                Failure.TIMEOUT, "connect", "no answer in time", address=dialled.address
            ) from None

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout: float,  # noqa: ASYNC109  # a total for the far side, kept by ourselves
        policy: AddressPolicy | None = None,
        cap: int = 65_536,
    ) -> Answer:
        """POST `body` to `url` and return the answer, whatever its status.

        Redirects are not followed, no cookies are kept, at most `cap` bytes of the answer are
        read (decoded), and `timeout` (seconds) covers everything from the name to the last byte.

        Raises:
            DialError: no answer; `failure` says why, the own_… ones that it was our own trouble.
        """
        root = self._parent or self
        poster = root._poster or await root._posting()
        return await poster.post(
            url, body, headers, timeout=timeout, policy=policy or self.policy, cap=cap
        )

    async def ready_to_post(self) -> None:
        """Load what posts need, so that the first one is not the later for it."""
        await (self._parent or self)._posting()

    async def _posting(self) -> Poster:
        # aiohttp takes a third of a second to import and 8 MB of memory, and who is told by mail
        # needs neither. In a thread: checks go on meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "netpulse.egress.post")
        if self._poster is None:
            made: Poster = module.Poster(self.resolver)
            self._poster = made
        return self._poster

    async def close(self) -> None:
        """Close what is open. Views need no closing."""
        if self._poster is not None:
            await self._poster.close()
        if self._pinger is not None:
            self._pinger.close()
        await self.resolver.close()

    @staticmethod
    def _allowed(found: Sequence[Address], port: int, policy: AddressPolicy) -> Sequence[Address]:
        allowed = []
        reason = ""
        for address in found:
            why = refusal(address.text, port, policy)
            if why is None:
                allowed.append(address)
            else:
                reason = reason or why
        if not allowed:
            raise DialError(Failure.BLOCKED, None, reason, address=found[0].text)
        return allowed


async def _first(addresses: Sequence[Address], port: int, trace: Trace) -> Attempt:
    """Return the first connection that stands, trying the addresses one beside the other."""
    if len(addresses) == 1:
        trace.address = addresses[0].text
        return await _connect(addresses[0], port)
    waiting = _interleaved(addresses)[:MOST_ADDRESSES]
    running: dict[asyncio.Task[socket.SocketType], Attempt] = {}
    failures: list[DialError] = []
    loop = asyncio.get_running_loop()
    try:
        while waiting or running:
            if waiting:
                address = waiting.pop(0)
                trace.address = address.text
                try:
                    attempt = Attempt(address, port)
                except DialError as refused:
                    # Known at once, as for the family that a service on this host does not have.
                    failures.append(refused)
                    continue
                if attempt.stands:
                    return attempt
                running[loop.create_task(attempt.standing())] = attempt
            done, _ = await asyncio.wait(
                running,
                timeout=HEAD_START if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return running.pop(task)
                del running[task]
                if not isinstance(error, DialError):
                    raise error
                failures.append(error)
        raise _most_telling(failures)
    finally:
        await _abandon(running)


async def _abandon(running: Mapping[asyncio.Task[socket.SocketType], Attempt]) -> None:
    if not running:
        return
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for attempt in running.values():
        # Those that stood as well, and one whose task never came to begin.
        attempt.sock.close()


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Alternate the families, beginning with the resolver's first choice (RFC 8305, section 4)."""
    lead = [each for each in addresses if each.family == addresses[0].family]
    rest = [each for each in addresses if each.family != addresses[0].family]
    mixed: list[Address] = []
    while lead or rest:
        mixed += lead[:1] + rest[:1]
        lead, rest = lead[1:], rest[1:]
    return mixed


def _most_telling(failures: Sequence[DialError]) -> DialError:
    for failure in _TELLING:
        for error in failures:
            if error.failure is failure:
                return error
    return next((each for each in failures if each.failure in OWN_FAILURES), failures[0])


async def _connect(address: Address, port: int) -> Attempt:
    attempt = Attempt(address, port)
    await attempt.standing()
    return attempt


def _dialled(attempt: Attempt, dns_ms: float, connect_ms: float, trace: Trace) -> Dialled:
    address = attempt.address
    trace.address = address.text
    trace.connected(connect_ms)
    return Dialled(attempt.sock, address.text, address.family, dns_ms, connect_ms)
