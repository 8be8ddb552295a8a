"""More checks than can be made: they are late, they say so, and each of them is as right as ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netpulse.model.check import Result
from netpulse.model.watch import Status
from tests.conftest import Opener
from tests.home import home, spec
from tests.servers import Exchange, HttpServer, answer

MONITORS, AT_ONCE, BAD = 24, 2, 6


class Narrow:
    """A target that counts how many ask at once, and has some pages that fail."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.paths: list[str] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.paths.append(exchange.request.path)
        await asyncio.sleep(0.01)
        self.now -= 1
        await exchange.send(answer(500 if int(exchange.request.path[1:]) % BAD == 0 else 200))


async def test_verdicts_stay_right_and_nothing_is_stacked(tmp_path: Path) -> None:
    narrow = Narrow()

    async def script(exchange: Exchange) -> None:
        await narrow(exchange)

    async with HttpServer(script) as server, home(tmp_path / "data", at_once=AT_ONCE) as at:
        made = [
            await at.monitor(
                spec(
                    server.url(f"/{number}"),
                    interval_seconds=86_400,
                    retry_interval_seconds=3_600,
                    confirmations=1,
                    timeout_seconds=5,
                )
            )
            for number in range(MONITORS)
        ]
        checks = at.engine.figures.checks

        async def finished(number: int) -> None:
            async def look() -> bool:
                return sum(checks.values()) >= number

            await at.until(look, f"{number} checks are finished")

        await finished(MONITORS)
        before = len(narrow.paths)
        for _ in range(3):  # asked for again and again while they wait: once is enough
            for monitor in made:
                at.nudge(monitor)
            await asyncio.sleep(0)
        assert at.engine.scheduler.running <= AT_ONCE
        await finished(2 * MONITORS)
        assert narrow.most <= AT_ONCE
        # In the order in which they were asked for; two are under way at once.
        order = [int(path[1:]) for path in narrow.paths[before : before + MONITORS]]
        assert sorted(order) == list(range(MONITORS))
        assert all(abs(place - number) <= AT_ONCE for place, number in enumerate(order))
        assert at.engine.lag_stats().max_ms > 0
        assert checks[Result.INCONCLUSIVE] == checks[Result.DEGRADED] == 0
        for number, monitor in enumerate(made):
            down = number % BAD == 0
            await at.until_status(monitor.id, Status.DOWN if down else Status.UP)


@pytest.mark.parametrize(
    ("seconds", "left_out", "more"),
    [
        (3.2, 412, " 412 checks of the last minute had to be left out."),
        (3.2, 1, " 1 check of the last minute had to be left out."),
        (6.0, 0, ""),
    ],
)
async def test_the_dashboard_and_readyz_say_by_how_much(
    open_stage: Opener, seconds: float, left_out: int, more: str
) -> None:
    stage = await open_stage()
    engine = stage.house.engine
    for _ in range(100):
        engine.figures.lags.add(seconds)
    engine.scheduler.left_out.add(left_out)
    alice = stage.client(headers=stage.cast.alice.headers)
    page = (await alice.get("/dashboard")).text
    said = f"Checks start {seconds:.1f} s late, and up to {seconds:.1f} s: this machine is too busy"
    assert f"{said} for so many checks.{more} What was checked is judged as ever." in page
    ready = await alice.get("/readyz")
    assert ready.status_code == (200 if seconds < 5 else 503)
    told = ready.json()
    assert told["schedule_lag_p50_ms"] == told["schedule_lag_p99_ms"] == seconds * 1000
    assert told["checks_left_out"] == left_out
    assert (await stage.client().get("/readyz")).json() == {"status": told["status"]}


async def test_a_second_late_is_not_yet_told_on_the_page(open_stage: Opener) -> None:
    stage = await open_stage()
    stage.house.engine.figures.lags.add(0.9)
    page = await stage.client(headers=stage.cast.alice.headers).get("/dashboard")
    assert page.status_code == 200
    assert "Checks start" not in page.text
