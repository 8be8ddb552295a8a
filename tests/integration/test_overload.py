"""More checks than can be made: they are late, they say so, and each of them is as right as ever."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from netpulse.model.check import Result
from netpulse.model.watch import Status
from netpulse.probes.turns import A_TURN_SECONDS, CROWD, LONG, is_crowded, turn
from netpulse.rules.schedule import phase_ms
from tests.conftest import Opener
from tests.home import home, spec
from tests.instance import SOURCE, Instance
from tests.servers import Exchange, HttpServer, answer

MONITORS, AT_ONCE, BAD = 24, 2, 6
MANY, DESCRIPTORS, INTERVAL = 270, 128, 10
PLACES = (DESCRIPTORS - 64) // 2
"""How many checks so many descriptors are enough for."""
SLOW_SECONDS = 1.5


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


class Held:
    """A target that holds each check for a while, and notes when each page was asked for."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = defaultdict(list)
        self.now: Counter[str] = Counter()
        self.most = self.most_of_one = 0

    async def __call__(self, exchange: Exchange) -> None:
        path = exchange.request.path
        self.at[path].append(time.time())
        self.now[path] += 1
        self.most = max(self.most, self.now.total())
        self.most_of_one = max(self.most_of_one, self.now[path])
        await asyncio.sleep(SLOW_SECONDS)
        self.now[path] -= 1
        await exchange.send(answer(500 if path.startswith("/bad") else 200))

    async def seen(self, times: int) -> None:
        """Wait until each page was asked for so often."""
        until = time.monotonic() + 90
        while len(self.at) < MANY or min(map(len, self.at.values())) < times:
            assert time.monotonic() < until, Counter(map(len, self.at.values()))
            await asyncio.sleep(0.1)

    def late(self, ids: dict[str, str]) -> list[float]:
        """Return how late checks were that a slot of the grid was due for, in order."""
        found = []
        for path, monitor_id in ids.items():
            phase = phase_ms(monitor_id, INTERVAL * 1000) / 1000
            for before, at in pairwise(self.at[path]):
                # A slot in which the one before was under way is nobody's.
                ended = before + SLOW_SECONDS
                found.append(at - (ended - (ended - phase) % INTERVAL + INTERVAL))
        return sorted(found)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's: run on Linux")
async def test_a_process_with_too_much_to_do_is_late_evenly_and_says_so(tmp_path: Path) -> None:
    """27 checks a second where there is room for twenty-one at most."""
    held = Held()
    instance = Instance(tmp_path / "data")
    instance.command = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *SOURCE]

    async def script(exchange: Exchange) -> None:
        await held(exchange)

    def make(url: str) -> dict[str, str]:
        instance.start()
        instance.register()
        ids = {}
        for number in range(MANY):
            path = f"/bad/{number}" if number % 50 == 0 else f"/{number}"
            fields = {"interval_seconds": INTERVAL, "timeout_seconds": 8, "confirmations": 1}
            made = {"type": "http", "name": path, "target": url + path[1:]} | fields
            ids[path] = instance.ok("POST", "/v1/monitors", made)["id"]
        return ids

    try:
        async with HttpServer(script) as server:
            ids = await asyncio.to_thread(make, server.url("/"))
            await held.seen(2)
            ready = await asyncio.to_thread(instance.call, "GET", "/readyz")
            page = (await asyncio.to_thread(instance.call, "GET", "/dashboard"))[2]
            late = held.late(ids)
            down = await asyncio.to_thread(instance.ok, "GET", "/v1/monitors?status=down&limit=100")
            assert {each["name"] for each in down} == {path for path in ids if "bad" in path}
            for status in ("degraded", "unknown", "pending"):
                assert (
                    await asyncio.to_thread(instance.ok, "GET", f"/v1/monitors?status={status}")
                    == []
                )
    finally:
        instance.close()
    assert held.most <= PLACES
    assert held.most_of_one == 1
    # Who waited longest is next, so nobody has many turns before others have one.
    times = Counter(map(len, held.at.values()))
    assert max(times) - min(times) <= 2, times
    usual, most = statistics.median(late), late[int(len(late) * 0.99)]
    assert most > 2
    status, _, said = ready
    is_ready = said["schedule_lag_p99_ms"] < 5000
    assert (status, said["status"]) == ((200, "ready") if is_ready else (503, "not ready"))
    # What it says is what we saw. Where one of the two stood still for a moment, the latest of its
    # checks look later than the other's: of those it is told how late they are, not to the second.
    assert abs(said["schedule_lag_p50_ms"] / 1000 - usual) < 0.5 + usual / 5, (said, usual)
    assert max(2, most / 2) < said["schedule_lag_p99_ms"] / 1000 < 2 * most, (said, most)
    told = re.search(r"Checks start ([\d.]+) s late, and up to ([\d.]+) s", page)
    assert told is not None
    assert 1 < float(told[1]) <= float(told[2])
    assert abs(float(told[1]) - usual) < 0.5 + usual / 5, (told[0], usual)
    assert max(2, most / 2) < float(told[2]) < 2 * most, (told[0], most)


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


async def test_a_crowd_of_long_pages_holds_its_own_kind_alone(tmp_path: Path) -> None:
    """Nobody's short page waits because others, who may be ill-natured, have long ones."""
    crowd = True
    asked: Counter[str] = Counter()

    async def script(exchange: Exchange) -> None:
        path = exchange.request.path
        asked[path] += 1
        await exchange.send(answer(200, body=b"x" * (3 * LONG if path == "/long" else 2)))

    async def other() -> None:
        while crowd:
            await turn()
            time.sleep(A_TURN_SECONDS)  # noqa: ASYNC251 -- a piece keeps the loop for so long

    async with HttpServer(script) as server, home(tmp_path / "data") as at, AsyncExitStack() as end:
        slow = {"interval_seconds": 86_400, "timeout_seconds": 20}
        short = await at.monitor(spec(server.url("/short"), **slow))
        long = await at.monitor(spec(server.url("/long"), **slow))
        await at.until_status(short.id, Status.UP)
        await at.until_status(long.id, Status.UP)
        others = [asyncio.ensure_future(other()) for _ in range(3 * CROWD)]

        async def disperse() -> None:
            nonlocal crowd
            crowd = False
            await asyncio.gather(*others)

        end.push_async_callback(disperse)
        await asyncio.sleep(0)
        before = Counter(asked)
        at.nudge(long)
        at.nudge(short)
        new = await at.monitor(spec(server.url("/new"), **slow))
        await at.until_status(new.id, Status.UP, 30)

        async def again() -> bool:
            return asked["/short"] > before["/short"]

        await at.until(again, "the short page is asked for", 30)
        assert is_crowded()
        assert asked["/long"] == before["/long"]
        assert at.engine.scheduler.overdue(long.id)
        await disperse()

        async def at_last() -> bool:
            return asked["/long"] > before["/long"]

        await at.until(at_last, "the long page is asked for")
