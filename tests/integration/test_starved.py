"""A process that hardly gets any processor time blames nobody for it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.far_target import FarTarget
from tests.home import spec
from tests.instance import Instance, eventually
from tests.starving import PERIOD_MS, starved
from tests.store import enter

MONITORS = 1_000
"""Their checks take far more than the share."""
TIMEOUT_SECONDS = 2
LATE_ANSWER_SECONDS = 1.45
"""Within the timeout, but the process runs after 1.4 s and then after 2.1: for it that is too late."""
SECONDS = float(os.environ.get("NETPULSE_STARVED_SECONDS", "10"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(300 + SECONDS)
def test_with_one_percent_of_a_processor_nobody_is_down(instance: Instance) -> None:
    assert 2 * PERIOD_MS < LATE_ANSWER_SECONDS * 1000 < TIMEOUT_SECONDS * 1000 < 3 * PERIOD_MS
    site = FarTarget()
    try:
        instance.start()
        instance.register()
        assert instance.stop() == 0
        shops = [
            spec(
                f"{site.url}{n}", name=f"Shop {n}", timeout_seconds=TIMEOUT_SECONDS, confirmations=1
            )
            for n in range(MONITORS)
        ]
        asyncio.run(enter(instance.data, shops))
        instance.start(environ={"NETPULSE_METRICS_ALLOW": "127.0.0.1/32"})
        instance.login()

        def all_are_up() -> bool:
            answer = instance.call("GET", "/v1/monitors?status=up&limit=1")[2]
            return bool(answer["meta"]["total"] == MONITORS)

        eventually("all are up", all_are_up, 30)
        assert instance.process is not None
        with starved(instance.process.pid) as way:
            site.answer_after(LATE_ANSWER_SECONDS)
            time.sleep(SECONDS)
            site.answer_after(0.0)
        ready = instance.call("GET", "/readyz")
        # Who looks sees how late checks were.
        assert ready[2]["schedule_lag_p99_ms"] > 500, (way, ready)
        instance.login()
        eventually("all are up", all_are_up, 30)
        assert instance.ok("GET", "/v1/incidents") == []
        # There were some of whom somebody else would have said that they do not answer.
        metrics = instance.call("GET", "/metrics")[2]
        (own,) = re.findall(r'netpulse_checks_total\{result="inconclusive"\} (\d+)', metrics)
        assert int(own) > 0
        for monitor in instance.ok("GET", "/v1/monitors?limit=30"):
            path = f"/v1/monitors/{monitor['id']}"
            checks = instance.ok("GET", f"{path}/checks?limit=100")
            # The verdicts are right, or say that they are none.
            assert {check["status"] for check in checks} <= {"up", "inconclusive"}
            account = instance.ok("GET", f"{path}/uptime?period=24h")
            assert account["down_seconds"] == 0
        print(way, ready[2], own)
        assert instance.stop() == 0
    finally:
        site.close()
