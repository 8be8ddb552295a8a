"""The decision on our own network: what it must never do, whatever the evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.egress.routes import has_default_route
from netpulse.model.check import Failure, Reading, Timings
from netpulse.rules.isolation import (
    INDEPENDENT,
    OWN_SIDE,
    SUSPECT,
    WINDOW_SECONDS,
    Sighting,
    Sign,
    domain_of,
    heard_after_ms,
    network_of,
    rule,
    sign_of,
)

NOW = 10_000.0


@st.composite
def sightings(draw: st.DrawFn, signs: tuple[Sign, ...] = tuple(Sign)) -> list[Sighting]:
    made = []
    for number in range(draw(st.integers(0, 8))):
        ended = NOW - draw(st.floats(0, 2 * WINDOW_SECONDS))
        made.append(
            Sighting(
                target=str(number),
                sign=draw(st.sampled_from(signs)),
                where=draw(st.sampled_from([None, "a", "b", "c", "d"])),
                began=ended - draw(st.floats(0, 30)),
                at=ended,
            )
        )
    return made


@given(sightings(), st.sampled_from([None, True, False]))
def test_never_without_evidence(seen: list[Sighting], route: bool | None) -> None:
    ruling = rule(seen, now=NOW, default_route=route)
    if not ruling.isolated:
        return
    assert ruling.since is not None
    alive = max((one.at for one in seen if one.sign is Sign.ALIVE), default=0.0)
    counted = [
        one
        for one in seen
        if one.sign in SUSPECT and one.began > alive and one.at >= NOW - WINDOW_SECONDS
    ]
    assert len(counted) == ruling.failing
    assert ruling.since == min(one.began for one in counted) > alive
    places = {(one.sign is Sign.NAMELESS, one.where) for one in counted if one.where is not None}
    assert any(one.sign in OWN_SIDE for one in counted) or len(places) >= INDEPENDENT
    assert str(ruling.failing) in ruling.reason


@given(sightings(), st.floats(0, 5))
def test_an_answer_now_clears_everything(seen: list[Sighting], ago: float) -> None:
    last = max((one.began for one in seen), default=NOW)
    alive = Sighting("x", Sign.ALIVE, "z", last, max(last, NOW - ago))
    assert not rule([*seen, alive], now=NOW, default_route=False).isolated


@given(sightings((Sign.SILENT, Sign.ALIVE, Sign.LOCAL, Sign.NOTHING)))
def test_fewer_than_three_networks_are_never_enough(seen: list[Sighting]) -> None:
    few = [one for one in seen if one.where in {None, "a", "b"}]
    assert not rule(few, now=NOW, default_route=False).isolated


@given(sightings(), st.randoms(), st.sampled_from([None, True, False]))
def test_order_is_nothing(seen: list[Sighting], chance: object, route: bool | None) -> None:
    mixed = list(seen)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert rule(mixed, now=NOW, default_route=route) == rule(seen, now=NOW, default_route=route)


@given(sightings(), st.sampled_from([None, True, False]))
def test_old_silence_is_no_evidence(seen: list[Sighting], route: bool | None) -> None:
    assert not rule(seen, now=NOW + 3 * WINDOW_SECONDS, default_route=route).isolated


@given(st.ip_addresses())
def test_networks(address: object) -> None:
    found = network_of(str(address))
    assert found is None or found.endswith(("/24", "/48"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("64:ff9b::c000:24d", "192.0.2.0/24"),
        ("127.0.0.1", None),
        ("127.8.8.8", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("0.0.0.0", None),
        ("not an address", None),
    ],
)
def test_what_counts_as_a_network(address: str, network: str | None) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("target", "domain"),
    [
        ("https://user@www.shop.example:8443/a/b", "shop.example"),
        ("db.internal.shop.example:5432", "shop.example"),
        ("shop.example.", "shop.example"),
        ("intranet", None),
    ],
)
def test_what_counts_as_a_domain(target: str, domain: str | None) -> None:
    assert domain_of(target) == domain


DIALLED = Timings(dns_ms=1.0, connect_ms=20.0, total_ms=10_000.0)


@pytest.mark.parametrize(
    ("kind", "reading", "sign", "heard_ms"),
    [
        ("http", Reading(address="a", timings=DIALLED, status_code=200), Sign.ALIVE, 10_000),
        ("http", Reading(address="a", failure=Failure.REFUSED), Sign.ALIVE, 0),
        ("http", Reading(address="a", failure=Failure.RESET), Sign.ALIVE, 0),
        # It connected and then fell silent: heard when it connected.
        ("http", Reading(address="a", failure=Failure.TIMEOUT, timings=DIALLED), Sign.ALIVE, 21),
        (
            "http",
            Reading(address="a", failure=Failure.TLS_EXPIRED, timings=DIALLED),
            Sign.ALIVE,
            21,
        ),
        ("http", Reading(address="a", failure=Failure.TIMEOUT), Sign.SILENT, None),
        ("http", Reading(address="a", failure=Failure.UNREACHABLE), Sign.SILENT, None),
        ("http", Reading(failure=Failure.TIMEOUT, detail="dns"), Sign.NOTHING, None),
        ("http", Reading(failure=Failure.DNS, detail="nxdomain"), Sign.NOTHING, None),
        ("http", Reading(failure=Failure.DNS, detail="servfail"), Sign.NAMELESS, None),
        ("http", Reading(failure=Failure.BLOCKED, address="a"), Sign.NOTHING, None),
        ("http", Reading(failure=Failure.OWN_LIMIT), Sign.NOTHING, None),
        ("http", Reading(failure=Failure.OWN_NETWORK, detail="no_route"), Sign.NO_ROUTE, None),
        ("tcp", Reading(failure=Failure.OWN_NETWORK, detail="no_resolver"), Sign.NO_RESOLVER, None),
        ("icmp", Reading(address="a", packets_sent=3, packets_received=1), Sign.ALIVE, 0),
        (
            "icmp",
            Reading(address="a", failure=Failure.LOSS, packets_sent=3, packets_received=0),
            Sign.SILENT,
            None,
        ),
        ("icmp", Reading(address="a", packets_sent=3, packets_received=0), Sign.SILENT, None),
        ("dns", Reading(address="a", failure=Failure.DNS, detail="timeout"), Sign.SILENT, None),
        ("dns", Reading(address="a", failure=Failure.DNS, detail="nxdomain"), Sign.ALIVE, 0),
        ("push", Reading(exit_status=1), Sign.NOTHING, None),
    ],
)
def test_what_a_reading_says(
    kind: str, reading: Reading, sign: Sign, heard_ms: float | None
) -> None:
    assert sign_of(kind, reading) is sign
    if heard_ms is not None:
        assert heard_after_ms(reading) == heard_ms


FOUR = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
NO_SIX = (
    "0" * 32 + " 00 " + "0" * 32 + " 00 " + "0" * 32 + " ffffffff 00000001 00000000 00200200 lo\n"
)


@pytest.mark.parametrize(
    ("four", "six", "there"),
    [
        (FOUR + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n", NO_SIX, True),
        (FOUR + "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n", NO_SIX, False),
        (FOUR + "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\n", NO_SIX, False),
        (FOUR, NO_SIX.replace("00200200 lo", "00000003 eth0"), True),
        (FOUR, "", False),
        (None, None, None),
    ],
)
def test_default_routes(
    tmp_path: Path, four: str | None, six: str | None, there: bool | None
) -> None:
    for name, content in (("route", four), ("ipv6_route", six)):
        if content is not None:
            (tmp_path / name).write_text(content)
    assert has_default_route(tmp_path) is there
