"""SIGTERM under load: 300 monitors are being checked, messages are on their way, browsers listen."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.far_target import FarTarget
from tests.home import spec
from tests.instance import Instance, Sink, Site, eventually
from tests.store import enter

MONITORS = 300
BROWSERS = 5


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def stream(instance: Instance) -> socket.socket:
    """Listen as a browser does."""
    made = socket.create_connection(("127.0.0.1", instance.port))
    request = f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {instance.token}\r\n\r\n"
    made.sendall(request.encode())
    assert b"200" in made.recv(4096).splitlines()[0]
    return made


def newest(instance: Instance) -> dict[str, Any]:
    """Return the checks of some of the monitors, by id."""
    found = {}
    for monitor in instance.ok("GET", "/v1/monitors?limit=20&sort=name"):
        checks = instance.ok("GET", f"/v1/monitors/{monitor['id']}/checks?limit=100")
        found |= {check["id"]: check for check in checks}
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sigterm_under_load_loses_nothing_and_tells_all(instance: Instance) -> None:
    target, site = FarTarget(1.0), Site().up()
    quick, slow = Sink(), Sink()
    try:
        instance.start()
        instance.register()
        instance.tell(quick.url, "Takes its time", notify_recovery=False)
        instance.tell(slow.url, "Takes for ever", notify_recovery=False)
        shop = spec(site.url, name="A shop", confirmations=1)
        assert instance.stop() == 0
        others = [
            spec(f"{target.url}{n}", name=f"Shop {n}", timeout_seconds=8) for n in range(MONITORS)
        ]
        asyncio.run(enter(instance.data, [shop, *others]))
        instance.start()
        instance.login()
        up = "/v1/monitors?status=up&limit=1"

        def all_are_up() -> bool:
            return bool(instance.call("GET", up)[2]["meta"]["total"] == MONITORS + 1)

        eventually("all are up", all_are_up, 40)
        # Each answer takes a second: thirty checks are under way at any moment.
        # The stop gives messages two: half a second leaves room for a machine that stands still.
        quick.delay_seconds, slow.delay_seconds = 0.5, 30.0
        with ExitStack() as browsers:
            for _ in range(BROWSERS):
                browsers.enter_context(stream(instance))
            site.down()
            eventually("both are being told", lambda: quick.received and slow.received, 40)
            known = newest(instance)
            assert len(known) > 20
            began = time.monotonic()
            assert instance.stop(15) == 0
            assert time.monotonic() - began < 10
        assert "Traceback" not in instance.text, instance.text
        slow.delay_seconds = 0.0
        instance.start()
        instance.login()
        # What was measured before is there, to the last check.
        assert known.items() <= newest(instance).items()

        def all_are_sent() -> bool:
            events = instance.ok("GET", "/v1/alert-events")
            return [one["status"] for one in events] == ["sent", "sent"]

        eventually("all are sent", all_are_sent, 40)
        # One took it within the time that a stop gives: that was noted, and it hears no more. The
        # other was cut off: it is told again, under the same id.
        assert len(quick.received) == 1
        assert len(slow.received) == 2
        assert len(slow.distinct()) == 1
        assert {one["event"] for one in quick.events() + slow.events()} == {"monitor.down"}
        # Nobody else's check was taken for an outage because we left.
        assert len(instance.ok("GET", "/v1/incidents")) == 1
        assert instance.stop() == 0
    finally:
        target.close()
        site.down()
        quick.close()
        slow.close()
