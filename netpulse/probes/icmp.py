"""icmp: some pings to one address; how many come back, and how fast."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
import time
from collections.abc import Sequence

from netpulse.egress.connect import Egress
from netpulse.egress.icmp import Pinged, result_of
from netpulse.egress.icmp_line import Lone
from netpulse.egress.resolver import Address, literal
from netpulse.egress.trouble import DialError
from netpulse.model.check import OWN_FAILURES, Failure, Reading, Timings, round_latency
from netpulse.model.monitor import IcmpSpec
from netpulse.rules import targets
from netpulse.rules.addresses import refusal

GAP = 0.2
"""Seconds between two packets, where the deadline leaves room."""


async def probe(spec: IcmpSpec, deadline: float, egress: Egress) -> Reading:
    """Ping and measure. `deadline` is a moment of the loop's clock.

    total is the average round trip, without the name look-up.
    """
    began = time.perf_counter()
    dns_ms: float | None = None
    addresses: tuple[str, ...] = ()
    try:
        found = await egress.resolve(targets.ping_host(spec.target), 0, deadline=deadline)
        dns_ms = round_latency((time.perf_counter() - began) * 1000)
        unmapped = [_unmapped(each) for each in found]
        addresses = tuple([each.text for each in unmapped])
        pinged = await _ping(spec, _candidates(unmapped), egress, deadline)
    except DialError as error:
        return _failed(error, spec, dns_ms, addresses)
    return _reading(pinged, dns_ms, addresses)


def lone_address(spec: IcmpSpec, egress: Egress) -> Address | None:
    """Return where a check goes that is one ping to one address, and may go; None where it is more
    than that, or has to be refused in words: `probe` does that."""
    if spec.packets != 1:
        return None
    try:
        itself = literal(targets.ping_host(spec.target))
    except ValueError:
        return None
    if itself is None or refusal(itself.text, 0, egress.policy) is not None:
        return None
    return _unmapped(itself)


def reading_of(lone: Lone, spec: IcmpSpec) -> Reading:
    """Return what `probe` would have measured, of one ping to `lone_address` that has ended."""
    try:
        return _reading(result_of(lone), 0.0, (lone.address,))
    except DialError as error:
        return _failed(error, spec, 0.0, (lone.address,))


def _failed(
    error: DialError, spec: IcmpSpec, dns_ms: float | None, addresses: tuple[str, ...]
) -> Reading:
    sentence = error.message
    if error.failure is Failure.TIMEOUT:
        sentence = f"no answer within {spec.timeout_seconds:g} s: looking up {spec.target}"
    return Reading(
        timings=Timings(dns_ms=dns_ms),
        failure=error.failure,
        detail=error.detail,
        error=sentence,
        address=error.address,
        addresses=addresses,
    )


def _candidates(found: Sequence[Address]) -> Sequence[Address]:
    """Return the best address of each family, the resolver's first choice first."""
    if len(found) == 1:
        return found
    best: dict[int, Address] = {}
    for each in found:
        best.setdefault(each.family, each)
    return list(best.values())


def _unmapped(address: Address) -> Address:
    if address.family == socket.AF_INET6:
        inner = ipaddress.IPv6Address(address.text).ipv4_mapped
        if inner is not None:
            return Address(socket.AF_INET, str(inner))
    return address


async def _ping(
    spec: IcmpSpec, candidates: Sequence[Address], egress: Egress, deadline: float
) -> Pinged:
    """Ping the first address; the other family's only where nothing at all comes from it.

    Raises:
        DialError: this host can ping neither.
    """
    loop = asyncio.get_running_loop()
    silent: Pinged | None = None
    trouble: DialError | None = None
    for number, address in enumerate(candidates):
        left = deadline - loop.time()
        rest = len(candidates) - number
        gap = min(GAP, left / rest * 0.5 / max(1, spec.packets - 1))
        try:
            pinged = await egress.pinger.ping(
                address, packets=spec.packets, gap=gap, deadline=loop.time() + left / rest
            )
        except DialError as error:
            if error.failure not in OWN_FAILURES:
                raise
            trouble = trouble or error
            continue
        if pinged.round_trips:
            return pinged
        silent = silent or pinged
    if silent is None:
        assert trouble is not None  # there was at least one address
        raise trouble
    return silent


def _reading(pinged: Pinged, dns_ms: float | None, addresses: tuple[str, ...]) -> Reading:
    trips = pinged.round_trips
    if len(trips) == 1 and pinged.sent == 1:
        only = round(trips[0], 3)
        return Reading(
            timings=Timings(dns_ms=dns_ms, total_ms=round_latency(trips[0])),
            address=pinged.address,
            addresses=addresses,
            packets_sent=1,
            packets_received=1,
            rtt_min_ms=only,
            rtt_average_ms=only,
            rtt_max_ms=only,
        )
    average = sum(trips) / len(trips) if trips else None
    steps = [abs(after - before) for before, after in itertools.pairwise(trips)]
    failure = detail = sentence = None
    if not trips and pinged.trouble is not None:
        failure, detail = Failure.UNREACHABLE, pinged.trouble.detail
        sentence = (
            f"{pinged.address} cannot be reached: {pinged.trouble.source} says "
            f"“{pinged.trouble.said}”"
        )
    return Reading(
        timings=Timings(
            dns_ms=dns_ms,
            total_ms=None if average is None else round_latency(average),
        ),
        failure=failure,
        detail=detail,
        error=sentence,
        address=pinged.address,
        addresses=addresses,
        packets_sent=pinged.sent,
        packets_received=len(trips),
        rtt_min_ms=round(min(trips), 3) if trips else None,
        rtt_average_ms=None if average is None else round(average, 3),
        rtt_max_ms=round(max(trips), 3) if trips else None,
        jitter_ms=round(sum(steps) / len(steps), 3) if steps else None,
    )
