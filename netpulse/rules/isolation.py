"""Whether our own network is away, or the targets are: by evidence, never by a guess.

Evidence on our own side is a missing route or name servers that do not answer. Without it at
least three targets of independent networks (another /24 or /48) must have gone silent together.
Whatever a target says, a refusal or a reset too, proves the network alive, and with it every
silence that began before is the target's own again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct

from netpulse.model.check import Failure, Reading
from netpulse.model.ids import Id
from netpulse.rules.addresses import hidden
from netpulse.rules.targets import REMEMBERED

INDEPENDENT = 3
"""Networks that must be silent together where nothing on our own side is known to be wrong."""
WINDOW_SECONDS = 90.0
"""What ended longer ago than this is no evidence any more."""

_UNHEARD_NAMES = frozenset({"servfail", "timeout", "refused"})
"""Answers of a name server that cannot ask any further; one beside us gives them for every name
when our network is away."""


class Sign(StrEnum):
    """What one check says about our own network."""

    ALIVE = "alive"
    """The target said something, whatever it was."""
    SILENT = "silent"
    """The target was dialled, by a route that exists, and nothing came back."""
    NAMELESS = "nameless"
    """The name servers answered, but could not look the name up."""
    NO_ROUTE = "no_route"
    NO_RESOLVER = "no_resolver"
    LOCAL = "local"
    """A target on this host answered: it shows that not everything hangs on names, no more."""
    NOTHING = "nothing"
    """It says nothing: a trouble of another kind."""


SUSPECT = frozenset({Sign.SILENT, Sign.NAMELESS, Sign.NO_ROUTE, Sign.NO_RESOLVER})
"""Signs that our own network may be the cause."""
OWN_SIDE = frozenset({Sign.NO_ROUTE, Sign.NO_RESOLVER})
"""Signs of trouble on our own side of the network."""


class Sighting(Struct, frozen=True, gc=False):
    """What one check of one target said; moments in seconds of a monotonic clock."""

    target: Id
    sign: Sign
    where: str | None
    """The network of the address that was dialled, or the domain of the name."""
    began: float
    at: float
    """When the target was heard last; for a silence, when waiting for it ended."""


class Ruling(Struct, frozen=True):
    """What the evidence amounts to."""

    isolated: bool
    since: float | None = None
    """The beginning of the first check that counts, on the same clock."""
    failing: int = 0
    """Targets that count."""
    reason: str = ""
    """A sentence, where isolated."""


def sign_of(kind: str, reading: Reading) -> Sign:
    """Return what a reading of a monitor of type `kind` says about the network.

    The caller knows better where the address is this host's own, or no route leads there now.
    """
    failure = reading.failure
    if failure is Failure.OWN_NETWORK:
        return Sign.NO_RESOLVER if reading.detail == "no_resolver" else Sign.NO_ROUTE
    if reading.address is not None and _heard(kind, reading):
        return Sign.ALIVE
    unanswered = reading.packets_received == 0 and failure in {None, Failure.LOSS}
    if unanswered or failure in {Failure.TIMEOUT, Failure.UNREACHABLE}:
        return Sign.SILENT if reading.address is not None else Sign.NOTHING
    if failure is Failure.DNS:
        if kind == "dns":
            return Sign.SILENT if reading.address is not None else Sign.NOTHING
        return Sign.NAMELESS if reading.detail in _UNHEARD_NAMES else Sign.NOTHING
    return Sign.NOTHING


def _heard(kind: str, reading: Reading) -> bool:
    """Tell whether the far side said anything at all, even if it fell silent after that."""
    if reading.packets_received is not None:
        return reading.packets_received > 0
    if reading.failure in {Failure.REFUSED, Failure.RESET} or reading.answers:
        return True
    if kind == "dns":
        unheard = reading.failure in {Failure.TIMEOUT, Failure.UNREACHABLE}
        return not unheard and reading.detail != "timeout"
    return reading.timings.connect_ms is not None


def heard_after_ms(reading: Reading) -> float:
    """Return how long after its beginning a check heard its target last, in milliseconds.

    A target that connected and then fell silent was heard when it connected, not at the deadline.
    """
    timings = reading.timings
    phases = (timings.dns_ms, timings.connect_ms, timings.tls_ms, timings.first_byte_ms)
    known = sum(phase for phase in phases if phase is not None)
    if reading.failure in {None, Failure.REFUSED, Failure.RESET, Failure.CLOSED}:
        return max(known, timings.total_ms or 0.0)
    return known


@functools.lru_cache(maxsize=REMEMBERED)
def network_of(address: str) -> str | None:
    """Return the network an address stands for when independence is counted: its /24 or /48.

    None for what never leaves this host. An IPv4 address inside an IPv6 one counts as itself.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        inner = [one for one in hidden(found) if not one.is_unspecified]
        if inner:
            found = inner[0]
    if found.is_loopback or found.is_unspecified:
        return None
    length = 24 if isinstance(found, IPv4Address) else 48
    return str(ip_network((found, length), strict=False))


def domain_of(target: str) -> str | None:
    """Return the domain a target's name stands for when independence is counted: its last two
    labels.

    Names under one public suffix (shop.co.example) may count as one: never as more than they are.
    None for a name without a dot, which the local network knows.
    """
    rest = target.partition("://")[2] or target
    host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
    labels = host.lower().rstrip(".").split(".")
    return None if len(labels) < 2 else ".".join(labels[-2:])


def rule(
    sightings: Iterable[Sighting],
    *,
    now: float,
    default_route: bool | None = None,
    asked: int | None = None,
    uncounted: int = 0,
) -> Ruling:
    """Return what the evidence amounts to at `now` (monotonic seconds).

    `sightings` is at most one a target, the latest; those of targets that were known to be silent
    for a reason of their own must be left out. `default_route` says whether this host has one;
    None: it cannot be told. `asked` is how many targets said anything lately, or kept silent (None:
    those of `sightings`), `uncounted` how many silent ones more there are than `sightings` has.
    """
    seen = list(sightings)
    alive_at = max((one.at for one in seen if one.sign is Sign.ALIVE), default=float("-inf"))
    counted = [
        one
        for one in seen
        if one.sign in SUSPECT and one.began > alive_at and one.at >= now - WINDOW_SECONDS
    ]
    if not counted:
        return Ruling(isolated=False)
    kinds: dict[Sign, list[Sighting]] = {sign: [] for sign in SUSPECT}
    for one in counted:
        kinds[one.sign].append(one)
    routeless, silent = kinds[Sign.NO_ROUTE], kinds[Sign.SILENT]
    local = any(one.sign is Sign.LOCAL for one in seen)
    why = None
    if kinds[Sign.NO_RESOLVER] and not local:
        why = "no name server answers this host"
    elif routeless and not silent and default_route is not True:
        # With a default route only that path is missing (no IPv6 here). Whoever is silent though
        # a route leads there is so on its own account.
        why = (
            "this host has no default route" if default_route is False else "this host has no route"
        )
    elif _places([*silent, *routeless]) >= INDEPENDENT:
        why = "our network or all of them"
    elif _places(kinds[Sign.NAMELESS]) >= INDEPENDENT and not local:
        why = "no name can be looked up: our network or our name servers"
    failing = len(counted) + uncounted
    if why is None:
        return Ruling(isolated=False, failing=failing)
    if asked is None:
        asked = len({one.target for one in seen if one.at >= now - WINDOW_SECONDS})
    unreachable = f"{failing} of {asked} targets unreachable"
    return Ruling(
        isolated=True,
        since=min(one.began for one in counted),
        failing=failing,
        reason=f"{unreachable}: {why}",
    )


def _places(sightings: Iterable[Sighting]) -> int:
    return len({one.where for one in sightings if one.where is not None})
