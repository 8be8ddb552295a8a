"""The chart's figures: parts that add up to the whole, and nothing where nothing was measured."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.model.check import Check, Result, Timings
from netpulse.model.time import DAY, MINUTE, SECOND
from netpulse.storage import monitors
from tests.api.test_monitors import make
from tests.clock import START
from tests.conftest import Stage

FULL = Timings(dns_ms=1.5, connect_ms=10.0, tls_ms=20.0, first_byte_ms=30.0, total_ms=70.0)


async def figures(
    house: Stage, alice: httpx.AsyncClient, timings: list[Timings | None], **spec: Any
) -> dict[str, Any]:
    """Return the chart of a monitor whose last checks, a minute apart, took as long as given; None
    is one without an answer."""
    made = await make(alice, is_paused=True, **spec)
    found = await house.house.db.read(monitors.get, house.cast.acme.id, made["id"])
    assert found is not None
    now = house.house.clock.now()
    checks = []
    for number, each in enumerate(reversed(timings), 1):
        at = now - number * MINUTE
        took = None if each is None else each.total_ms
        checks.append(
            Check(
                due_at=at,
                started_at=at,
                result=Result.DOWN if took is None else Result.UP,
                response_time_ms=None if took is None else round(took),
                timings=each or Timings(dns_ms=1.5),
            )
        )
    house.house.raw.append([(found.key, check) for check in reversed(checks)])
    await house.house.raw.flush()
    answer = await alice.get(f"/monitors/{made['id']}/chart.json?period=1h")
    chart: dict[str, Any] = answer.json()
    return chart


def measured(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


async def test_the_parts_add_up(house: Stage, alice: httpx.AsyncClient) -> None:
    chart = await figures(house, alice, [FULL, None, FULL])
    assert chart["total"]["label"] == "Response time"
    assert measured(chart["total"]["values"]) == [70.0, 70.0]
    parts = {part["label"]: measured(part["values"]) for part in chart["phases"]}
    assert parts == {
        "DNS": [1.5, 1.5],
        "Connect": [10.0, 10.0],
        "TLS": [20.0, 20.0],
        "First byte": [30.0, 30.0],
        "Rest": [8.5, 8.5],
    }
    # A check without an answer is a gap in all of them, whatever phase it reached.
    whole = [value is None for value in chart["total"]["values"]]
    first, last = whole.index(False), len(whole) - whole[::-1].index(False)
    assert whole[first:last].count(True) >= 1
    for part in chart["phases"]:
        assert [value is None for value in part["values"]] == whole
    assert len(chart["at"]) == len(whole)


async def test_a_phase_that_the_protocol_has_not_is_left_out(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    # Each was rounded by itself, and together they may be a hair more than the whole.
    plain = Timings(dns_ms=0.0, connect_ms=10.1, first_byte_ms=30.0, total_ms=40.0)
    chart = await figures(house, alice, [plain])
    parts = {part["label"]: measured(part["values"]) for part in chart["phases"]}
    assert parts == {"DNS": [0.0], "Connect": [10.1], "First byte": [30.0], "Rest": [0.0]}


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ({"type": "icmp", "target": "192.0.2.1"}, "Round trip"),
        ({"type": "push", "target": "backup"}, "Run time"),
    ],
)
async def test_some_times_have_no_parts(
    house: Stage, alice: httpx.AsyncClient, spec: dict[str, str], label: str
) -> None:
    chart = await figures(house, alice, [Timings(dns_ms=5.0, total_ms=12.0)], **spec)
    assert chart["total"]["label"] == label
    assert measured(chart["total"]["values"]) == [12.0]
    assert chart["phases"] == []


async def test_a_stretch_is_looked_at_closely(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await make(alice, is_paused=True)
    url = f"/monitors/{made['id']}/chart.json"
    now = house.house.clock.now() // SECOND

    async def stretch(query: str) -> tuple[int, int, int]:
        found = (await alice.get(f"{url}?{query}")).json()
        assert len(found["at"]) <= 500
        return found["from"] - now, found["to"] - now, len(found["at"])

    # Before its making there is nothing: ten minutes are the least that has a shape.
    for query in ("period=90d", f"from={now - 9_000}&to={now - 6_000}", f"from={now}&to={now}"):
        assert (await stretch(query))[:2] == (-600, 0), query

    await house.house.db.write(
        lambda conn: conn.execute(
            "UPDATE monitors SET created_at = ? WHERE id = ?", (START - 200 * DAY, made["id"])
        )
    )
    day = DAY // SECOND
    for query, begins, ends in (
        ("period=90d", -90 * day, 0),
        (f"period=90d&from={now - 7_200}&to={now - 3_600}", -7_200, -3_600),
        (f"period=90d&from={now - 30 * day}&to={now}", -30 * day, 0),
        ("period=30d", -30 * day, 0),
        # As much as anybody may see at once, not the future, and no shorter than ten minutes.
        (f"from=0&to={now}", -90 * day, 0),
        (f"from={now - 900}&to={now + 900}", -900, 0),
        (f"from={now - 3_000}&to={now - 2_990}", -3_590, -2_990),
        (f"from={now - 100}&to={now - 3_000}", -3_600, -3_000),
        # What is no moment at all is not looked at.
        ("period=1h&from=x&to=1", -3_600, 0),
        ("period=1h&from=5", -3_600, 0),
    ):
        assert (await stretch(query))[:2] == (begins, ends), query
