"""A process that hardly gets any processor time blames nobody for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.far_target import FarTarget
from tests.home import spec
from tests.instance import Instance, eventually
from tests.starving import starved
from tests.store import enter

MONITORS = 300
"""Their checks take more than the share."""
SECONDS = float(os.environ.get("NETPULSE_STARVED_SECONDS", "10"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


@pytest.mark.slow
def test_with_one_percent_of_a_processor_nobody_is_down(instance: Instance) -> None:
    site = FarTarget()
    try:
        instance.start()
        instance.register()
        assert instance.stop() == 0
        shops = [
            spec(f"{site.url}{n}", name=f"Shop {n}", timeout_seconds=2, confirmations=1)
            for n in range(MONITORS)
        ]
        asyncio.run(enter(instance.data, shops))
        instance.start()
        instance.login()

        def all_are_up() -> bool:
            answer = instance.call("GET", "/v1/monitors?status=up&limit=1")[2]
            return bool(answer["meta"]["total"] == MONITORS)

        eventually("all are up", all_are_up, 30)
        assert instance.process is not None
        with starved(instance.process.pid) as way:
            time.sleep(SECONDS)
        ready = instance.call("GET", "/readyz")
        # Who looks sees how late checks were.
        assert ready[2]["schedule_lag_p99_ms"] > 500, (way, ready)
        instance.login()
        eventually("all are up", all_are_up, 30)
        assert instance.ok("GET", "/v1/incidents") == []
        own = 0
        for monitor in instance.ok("GET", "/v1/monitors?limit=30"):
            path = f"/v1/monitors/{monitor['id']}"
            checks = instance.ok("GET", f"{path}/checks?limit=100")
            # The verdicts are right, or say that they are none.
            assert {check["status"] for check in checks} <= {"up", "inconclusive"}
            own += sum(check["failure"] == "own_lag" for check in checks)
            account = instance.ok("GET", f"{path}/uptime?period=24h")
            assert account["down_seconds"] == 0
        print(way, ready[2], own)
        assert instance.stop() == 0
    finally:
        site.close()
