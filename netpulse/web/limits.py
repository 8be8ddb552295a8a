"""Counting requests, and telling whoever makes them how many are left.

A request counts on its key or its sign-in where that stands, and else on the address it came from;
a credential that is refused does not help. It is counted before a body is read, a password hashed
or anything but the sign-in looked up. Everything counts but what says `counts=False` where it is
declared: static files and `/healthz` (which must answer whatever else goes on, and cost nothing),
and pings, which have limits of their own by monitor and, for unknown tokens, by address.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from netpulse.web.call import Call
from netpulse.web.errors import too_many
from netpulse.web.house import House
from netpulse.web.proxies import bucket
from netpulse.web.rates import WINDOW_SECONDS, Rate, Taken
from netpulse.web.session import OrgSession

_STATE = "counted"


class Counted(Struct, frozen=True):
    """The limit that a request was counted by last."""

    policy: str
    taken: Taken


def sign_in_counts(house: House, scope: Any, session: OrgSession) -> None:
    """Count a request on the key or the sign-in that signed it.

    Raises:
        ApiError: 429.
    """
    if session.key is not None:
        name = f"key {session.key.id}"
    else:
        name = f"session {session.family_id or session.cookie_digest}"
    _take(house, scope, house.rates.signed_in, "requests", name, "Too many requests")


def stranger_counts(house: House, scope: Any) -> None:
    """Count a request on the address it came from (of IPv6 the /64).

    Raises:
        ApiError: 429.
    """
    name = bucket(scope["state"]["origin"].ip)
    _take(
        house,
        scope,
        house.rates.strangers,
        "address",
        name,
        "Too many requests from your address without a sign-in that stands",
    )


def run_counts(call: Call) -> None:
    """Count a check that somebody asks for, on the organization.

    Raises:
        ApiError: 429.
    """
    what = "Too many checks by hand in one minute for this organization"
    house, org_id = call.house, call.session.org_id
    _take(house, call.request.scope, house.rates.runs, "runs", org_id, what)


def channel_test_counts(call: Call) -> None:
    """Count a test message through a channel, on the organization.

    Raises:
        ApiError: 429.
    """
    what = "Too many tests of channels in one minute for this organization"
    house, org_id = call.house, call.session.org_id
    _take(house, call.request.scope, house.rates.channel_tests, "channel-tests", org_id, what)


def export_counts(call: Call) -> None:
    """Count an export, on the organization.

    Raises:
        ApiError: 429.
    """
    what = "Too many exports in one minute for this organization"
    house, org_id = call.house, call.session.org_id
    _take(house, call.request.scope, house.rates.exports, "exports", org_id, what)


def does_not_count(scope: Any) -> None:
    """Let a request pass uncounted."""
    scope["state"][_STATE] = None


def is_settled(scope: Any) -> bool:
    """Tell whether it was decided what a request counts on: not yet where no route was reached."""
    return _STATE in scope["state"]


def headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """Return what the answer says of its limit.

    Both the fields of draft-ietf-httpapi-ratelimit-headers (`RateLimit`, `RateLimit-Policy`) and
    the three that came before them and that most clients read.
    """
    counted: Counted | None = scope["state"].get(_STATE)
    if counted is None:
        return []
    policy, taken = counted.policy, counted.taken
    return [
        (b"ratelimit-policy", f'"{policy}";q={taken.most};w={WINDOW_SECONDS}'.encode()),
        (b"ratelimit", f'"{policy}";r={taken.left};t={taken.reset}'.encode()),
        (b"ratelimit-limit", str(taken.most).encode()),
        (b"ratelimit-remaining", str(taken.left).encode()),
        (b"ratelimit-reset", str(taken.reset).encode()),
    ]


def _take(house: House, scope: Any, rate: Rate, policy: str, name: str, what: str) -> None:
    taken = rate.take(name, house.clock.monotonic())
    before = scope["state"].get(_STATE)
    if taken is None:
        scope["state"].setdefault(_STATE, None)
        return
    # A limit beyond that of requests is told of when it is the one that refuses.
    if before is None or not taken.allowed:
        scope["state"][_STATE] = Counted(policy, taken)
    if not taken.allowed:
        raise too_many(taken.reset, f"{what}; wait as long as Retry-After says")
