"""The name servers fall silent under a running engine: what is known of names is used for a while,
then nobody is judged by them, and addresses are judged as ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netpulse.egress import resolver as resolver_module
from netpulse.egress.connect import Egress
from netpulse.model.check import Check, Failure, Result
from netpulse.model.monitor import Monitor
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import notices, runs
from tests.home import Home, home, now, spec
from tests.servers import DnsServer, HttpServer, answer


async def checked(at: Home, monitor: Monitor) -> Check:
    """Return the next check of a monitor, made at once; not one that our own machine disturbed."""
    before = at.engine.last_check(monitor.id)
    at.nudge(monitor)

    async def look() -> bool:
        last = at.engine.last_check(monitor.id)
        return last is not before and last is not None and last.failure is not Failure.OWN_LAG

    await at.until(look, "a check", 30)
    found = at.engine.last_check(monitor.id)
    assert found is not None
    return found


async def test_a_silent_resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "STALE_SECONDS", 8.0)
    zone = {"shop.example": ["127.0.0.1"]}
    async with (
        DnsServer(zone, ttl=1) as names,
        HttpServer({"*": answer(200)}) as server,
        home(tmp_path / "data", egress=Egress(nameservers=[names.address])) as at,
    ):
        await at.rule(await at.channel("http://127.0.0.1:1/"), condition="down or system")
        named = await at.monitor(
            spec(f"http://shop.example:{server.port}/", name="Named", timeout_seconds=2)
        )
        plain = await at.monitor(spec(server.url(), name="Plain", timeout_seconds=2))
        for monitor in (named, plain):
            await at.until_status(monitor.id, Status.UP)
        names.zone["shop.example"] = names.default = "silent"
        await asyncio.sleep(1.2)
        # Its time to live is over; the stale answer serves.
        stale = await checked(at, named)
        assert (stale.result, stale.failure) == (Result.UP, None)

        async def is_blind() -> bool:
            return (await checked(at, named)).result is not Result.UP

        await at.until(is_blind, "nothing is known of the name", 30)
        blind = await checked(at, named)
        assert (blind.result, blind.failure) == (Result.INCONCLUSIVE, Failure.OWN_NETWORK)
        assert "no name server answers this host" in (blind.message or "")
        assert (await checked(at, plain)).result is Result.UP
        # A gap is there only if our own machine stood still, and then nobody vouches for the one.
        gaps = await at.db.read(runs.gaps, 0, now())
        assert {gap.reason for gap in gaps} <= {UnknownReason.STARVED}
        for monitor in (named, plain):
            watch = at.engine.watch(monitor.id)
            assert watch is not None
            assert watch.status is Status.UP or (gaps and watch.status is Status.UNKNOWN)
        # A target on this host answers: the name servers are in trouble, not the network.
        assert not at.engine.isolation.isolated
        assert await at.db.read(notices.recent, at.org.id, 9) == []
        names.zone["shop.example"] = ["127.0.0.1"]

        async def heard() -> bool:
            return (await checked(at, named)).result is Result.UP

        # The question that is under way is asked again by its own rhythm.
        await at.until(heard, "the name is looked up again", 20)
