"""Quotas: how much an organization may have, where it may reach, and how far back it may look."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.org import Quotas
from netpulse.model.time import DAY, Millis
from netpulse.rules import records, targets
from netpulse.rules.addresses import AddressPolicy, refusal
from netpulse.rules.monitors_problem import Problem

_NOUNS = {"monitors": ("monitor", "monitors"), "users": ("user", "users")}
_ROOM = {
    "monitors": "delete one that is not needed any more",
    "users": "remove somebody or withdraw an invitation",
}
_LOOPBACK = "127.0.0.1"


def reached(quota: str, limit: int, provider: str | None) -> str:
    """Return the sentence for a quota that is used up.

    Args:
        quota: "monitors" or "users".
        limit: how many there may be.
        provider: the name of the organization that set it; None: there is none above.
    """
    one, many = _NOUNS[quota]
    whom = f"{provider}, who set this quota," if provider else "whoever runs this installation"
    if limit == 0:
        return f"This organization may have no {many}; ask {whom} for some"
    noun = one if limit == 1 else many
    return f"This organization may have {limit} {noun}: {_ROOM[quota]}, or ask {whom} for more"


def fits(limit: int | None, used: int) -> bool:
    """Tell whether one more may be added to what is `used` (None: without a limit)."""
    return limit is None or used < limit


def shown_from(quotas: Quotas, now: Millis) -> Millis:
    """Return the moment from which on raw results are shown; 0: all that there are."""
    return 0 if quotas.retention_days is None else max(0, now - quotas.retention_days * DAY)


def policy(base: AddressPolicy, *, private_targets: bool) -> AddressPolicy:
    """Return the policy of an organization: what the process may do, and no more than it may."""
    return base if private_targets else replace(base, allow_private=False)


PUBLIC_ONLY = AddressPolicy(allow_private=False)
"""For what is known before anything is dialled: an address as it was typed."""


def problems(spec: MonitorSpec) -> list[Problem]:
    """Return where a monitor of an organization without private targets would reach one.

    Only addresses, and the name localhost, can be judged before they are dialled; whatever else a
    name leads to is refused when it is.
    """
    found = (
        (path, unreachable(host, port))
        for path, host, port in _hosts(spec)
        if host  # what cannot be read is told by rules.monitors
    )
    return [Problem(path, why) for path, why in found if why is not None]


def unreachable(host: str, port: int = 0, policy: AddressPolicy = PUBLIC_ONLY) -> str | None:
    """Return why `host` (a name or an address) may not be reached, as far as it shows already."""
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return refusal(_LOOPBACK, port, policy)
    try:
        address = targets.host(host)
    except targets.TargetError:
        return None
    if ":" not in address and not address.rpartition(".")[2].isdecimal():
        return None
    return refusal(address, port, policy)


def _hosts(spec: MonitorSpec) -> Iterable[tuple[str, str, int]]:
    """Return (path, host, port) of what a monitor dials, as far as its own words say."""
    try:
        if isinstance(spec, HttpSpec):
            url = targets.url(spec.target)
            return [("$.target", url.raw_host or "", url.port or 0)]
        if isinstance(spec, TcpSpec):
            return [("$.target", *targets.endpoint(spec.target, spec.port))]
        if isinstance(spec, SslSpec):
            return [("$.target", *targets.ssl_endpoint(spec.target, spec.port))]
        if isinstance(spec, IcmpSpec):
            return [("$.target", targets.ping_host(spec.target), 0)]
        if isinstance(spec, DnsSpec) and spec.nameserver is not None:
            return [("$.nameserver", *records.nameserver(spec.nameserver))]
    except targets.TargetError:
        return []
    # A push monitor dials nothing, and our own name servers are asked for the others' sake.
    assert isinstance(spec, PushSpec | DnsSpec)
    return []
