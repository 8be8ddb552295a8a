"""Names to addresses: one c-ares channel for the process, and a cache that outlives trouble.

c-ares reads the hosts file and resolv.conf (and notices when they change), asks for both families
at once and keeps answers for their time to live. On top of it: an answer that has expired is
used for up to ten more minutes while our name servers give none (RFC 8767), and a silent
resolver is told from a silent zone, for the one is our own trouble and the other the target's.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import secrets
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

import aiodns
from pycares import errno as ares

from netpulse.egress.trouble import DialError, family_name
from netpulse.model.check import Failure
from netpulse.rules.records import nameserver
from netpulse.rules.targets import REMEMBERED, Endpoint

STALE_SECONDS = 600.0
MOST_NAMES = 20_000
_LONGEST_TTL = 300.0
_SHORTEST_TTL = 1.0
_HOSTS_FILE_TTL = 5.0
"""c-ares gives a time to live of 0 to what the hosts file says."""


class Address(NamedTuple):
    """One way to reach a host."""

    family: int
    text: str


class _Kept(NamedTuple):
    addresses: tuple[Address, ...]
    fresh_until: float
    usable_until: float


class _NoAnswer(Exception):
    """None of our name servers answered; nothing is known about the name."""


_Key = tuple[str, int]

_NOT_FOUND = frozenset({ares.ARES_ENOTFOUND, ares.ARES_ENODATA})
_UNHEARD = frozenset({ares.ARES_ETIMEOUT, ares.ARES_ECONNREFUSED})
_WORDS: dict[int, tuple[str, str]] = {
    ares.ARES_ENOTFOUND: ("nxdomain", "the name {host} does not exist"),
    ares.ARES_ESERVFAIL: ("servfail", "the name servers cannot look {host} up (SERVFAIL)"),
    ares.ARES_EREFUSED: ("refused", "the name server refuses to look {host} up (REFUSED)"),
    ares.ARES_ENOTIMP: ("notimp", "the name server cannot look {host} up (NOTIMP)"),
    ares.ARES_EFORMERR: ("formerr", "the name server does not understand the question for {host}"),
    ares.ARES_EBADRESP: ("malformed", "the name server's answer for {host} is malformed"),
    ares.ARES_EBADNAME: ("bad_name", "{host} is not a name that can be looked up"),
}


class Resolver:
    """The process's way from names to addresses. Bound to the event loop that first uses it.

    `nameservers` ("address" or "address:port") replace those of the system.
    """

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        self._nameservers = tuple(nameservers)
        self._asker: aiodns.DNSResolver | None = None
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[tuple[Address, ...]]] = {}
        self._witness: asyncio.Task[None] | None = None
        self._heard_at = float("-inf")
        """When a name server last said anything, on the loop's clock."""

    def known(self, host: str, family: int) -> tuple[Address, ...] | None:
        """Return what `addresses` would without asking anybody; None where it would ask.

        Raises:
            DialError: `host` is an address of another family.
        """
        itself = literal(host)
        if itself is not None:
            if family not in {socket.AF_UNSPEC, itself.family}:
                raise _no_such_family(host, family)
            return (itself,)
        kept = self._kept.get((host.lower(), family))
        return kept.addresses if kept is not None and _now() < kept.fresh_until else None

    async def addresses(self, host: str, family: int, deadline: float) -> tuple[Address, ...]:
        """Return the addresses of `host` (ASCII, or an address itself), best first.

        `family` is AF_UNSPEC, AF_INET or AF_INET6; `deadline` a moment of the loop's clock.

        Raises:
            DialError: `dns` with nxdomain, no_data, servfail, refused, timeout …; `own_network`
                when none of our name servers answers and no recent answer is kept.
        """
        known = self.known(host, family)
        if known is not None:
            return known
        key = (host.lower(), family)
        started = _now()
        kept = self._kept.get(key)
        stale = kept.addresses if kept is not None and started < kept.usable_until else None
        question = self._ask(key)
        budget = max(0.0, deadline - started)
        try:
            if stale is not None:
                if await _finished(question, min(1.0, budget / 4)):
                    return question.result()
                return stale
            if not await _finished(question, min(3.0, budget * 0.5)):
                # The witness is asked while there is time left to wait for it.
                witness = self._ask_witness()
                await _finished(question, deadline - budget * 0.15 - _now())
                if not question.done() and not witness.done():
                    await _finished(witness, deadline - budget * 0.05 - _now())
            if question.done():
                return question.result()
        except _NoAnswer:
            if stale is not None:
                return stale
            await _finished(self._ask_witness(), min(1.5, (deadline - _now()) * 0.8))
        except DialError as trouble:
            if stale is not None and trouble.detail not in {"nxdomain", "no_data", "bad_name"}:
                return stale
            raise
        if self._heard_at >= started:
            raise DialError(
                Failure.DNS,
                "timeout",
                f"the name servers of {host} do not answer: our own answers, but not for this name",
            )
        raise DialError(
            Failure.OWN_NETWORK,
            "no_resolver",
            f"no name server answers this host ({self._shown_servers()}), so {host} cannot be "
            "looked up",
        )

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """The name servers in use, in their order: those given, or the system's of this moment."""
        if self._nameservers:
            return tuple(nameserver(text) for text in self._nameservers)
        listed = (text.strip("[]") for text in self._channel().nameservers)
        return tuple(Endpoint(text, 53) for text in listed)

    async def heard(self, since: float, deadline: float) -> bool:
        """Tell whether any of our name servers said anything since `since`, asking them now if
        need be; both are moments of the loop's clock.
        """
        if self._heard_at < since:
            await _finished(self._ask_witness(), deadline - _now())
        return self._heard_at >= since

    async def close(self) -> None:
        """Stop asking; the object is of no use afterwards."""
        tasks: list[asyncio.Task[Any]] = list(self._asking.values())
        if self._witness is not None:
            tasks.append(self._witness)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._asker is not None:
            await self._asker.close()

    def _ask(self, key: _Key) -> asyncio.Task[tuple[Address, ...]]:
        """Return the question that is under way for `key`; many checks of one host share it."""
        task = self._asking.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._answer(key))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        return task

    def _asked(self, key: _Key, task: asyncio.Task[tuple[Address, ...]]) -> None:
        del self._asking[key]
        if not task.cancelled():
            # Whoever waits gets it too; this only says that it was looked at, for nobody may wait.
            task.exception()

    async def _answer(self, key: _Key) -> tuple[Address, ...]:
        host, family = key
        try:
            found = await self._channel().getaddrinfo(
                host,
                family=socket.AddressFamily(family),
                port=1,
                type=socket.SOCK_STREAM,
            )
        except aiodns.error.DNSError as error:
            code = int(error.args[0])
            if code in _UNHEARD:
                raise _NoAnswer from None
            if code in {ares.ARES_ENOMEM, ares.ARES_EFILE}:
                raise DialError(
                    Failure.OWN_LIMIT, "resolver", f"this host cannot look {host} up: {error}"
                ) from None
            if code != ares.ARES_EBADNAME:
                self._heard_at = _now()
            if code in _NOT_FOUND and self._only_the_system_knows(host):
                local = await _ask_system(host, family)
                if local:
                    return self._keep(key, local, _HOSTS_FILE_TTL)
            if code not in {ares.ARES_ESERVFAIL, ares.ARES_EREFUSED, ares.ARES_EBADRESP}:
                self._kept.pop(key, None)
            if code == ares.ARES_ENODATA:
                raise _no_such_family(host, family) from None
            word, sentence = _WORDS.get(
                code, ("failed", "{host} cannot be looked up: " + str(error))
            )
            raise DialError(Failure.DNS, word, sentence.format(host=host)) from None
        addresses = tuple(
            Address(int(node.family), node.addr[0].decode("ascii")) for node in found.nodes
        )
        if not addresses:
            raise _no_such_family(host, family)
        ttl = float(min(node.ttl for node in found.nodes))
        if ttl > 0:
            self._heard_at = _now()
        return self._keep(key, addresses, ttl or _HOSTS_FILE_TTL)

    def _keep(self, key: _Key, addresses: tuple[Address, ...], ttl: float) -> tuple[Address, ...]:
        fresh_until = _now() + min(_LONGEST_TTL, max(_SHORTEST_TTL, ttl))
        self._kept[key] = _Kept(addresses, fresh_until, fresh_until + STALE_SECONDS)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_NAMES:
            self._kept.popitem(last=False)
        return addresses

    def _ask_witness(self) -> asyncio.Task[None]:
        """Ask for a name that cannot exist (RFC 6761): any word back shows that we are heard."""
        if self._witness is None or self._witness.done():
            self._witness = asyncio.get_running_loop().create_task(self._hear())
        return self._witness

    async def _hear(self) -> None:
        name = f"netpulse-{secrets.token_hex(6)}.invalid"
        try:
            await self._channel().query_dns(name, "A")
        except aiodns.error.DNSError as error:
            if int(error.args[0]) in _UNHEARD:
                return
        self._heard_at = _now()

    def _channel(self) -> aiodns.DNSResolver:
        if self._asker is None:
            self._asker = aiodns.DNSResolver(
                nameservers=list(self._nameservers) or None,
                loop=asyncio.get_running_loop(),
                timeout=1.5,
                tries=3,
            )
        return self._asker

    def _only_the_system_knows(self, host: str) -> bool:
        """Multicast DNS and the machine's own registers are known to the system's resolver only."""
        name = host.removesuffix(".").lower()
        return not self._nameservers and ("." not in name or name.endswith(".local"))

    def _shown_servers(self) -> str:
        servers = self._nameservers or tuple(self._channel().nameservers)
        return ", ".join(servers)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _finished(task: Awaitable[Any], seconds: float) -> bool:
    """Wait for a shared task without cancelling it; tell whether it is done."""
    done, _ = await asyncio.wait({asyncio.ensure_future(task)}, timeout=max(0.0, seconds))
    return bool(done)


@functools.lru_cache(maxsize=REMEMBERED)
def literal(host: str) -> Address | None:
    """Return the address that `host` (ASCII) is already; None for a name."""
    if ":" in host:
        return Address(socket.AF_INET6, str(ipaddress.IPv6Address(host)))
    if host[-1:].isdigit():
        try:
            return Address(socket.AF_INET, str(ipaddress.IPv4Address(host)))
        except ValueError:
            return None
    return None


def _no_such_family(host: str, family: int) -> DialError:
    if family == socket.AF_UNSPEC:
        return DialError(Failure.DNS, "no_data", f"the name {host} has no address")
    return DialError(Failure.DNS, "no_data", f"{host} has no {family_name(family)} address")


async def _ask_system(host: str, family: int) -> tuple[Address, ...]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, 1, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return ()
    # A link-local address comes with a zone; it would be blocked anyway.
    return tuple(Address(int(each[0]), str(each[4][0])) for each in found)
