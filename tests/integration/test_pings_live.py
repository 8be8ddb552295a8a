"""Pings over the wire, to a whole NetPulse in a process of its own, killed in between."""

from __future__ import annotations

import time
from pathlib import Path

from tests.instance import Instance, eventually


def test_pings_through_a_kill(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data").start()
    try:
        instance.register()
        body = {"type": "push", "name": "Backup", "interval_seconds": 10, "grace_seconds": 2}
        monitor = instance.ok("POST", "/v1/monitors", body)
        url, path = monitor["ping_url"], f"/v1/monitors/{monitor['id']}"

        def status() -> str:
            return str(instance.ok("GET", path)["status"])

        token, instance.token = instance.token, None
        for method in ("GET", "HEAD", "POST"):
            code, headers, text = instance.call(method, url)
            assert (code, text) == (200, "" if method == "HEAD" else "OK")
            assert "set-cookie" not in headers
        assert instance.call("POST", url, "x" * 70_000)[0] == 413
        assert instance.call("GET", "/ping/nobody")[0] == 404
        assert instance.call("PUT", url)[0] == 405
        instance.token = token
        assert status() == "up"

        pinged = time.time()
        instance.call("GET", url)
        instance.kill()
        time.sleep(4)
        instance.start()
        instance.login()
        assert instance.ok("GET", path)["ping_url"] == url
        # Due at 10 s, late at 12 s; 4 s of absence and 2 s of grace more: not before 18 s.
        while time.time() < pinged + 16:
            assert status() in {"up", "unknown"}
            time.sleep(0.5)
        eventually("it is down", lambda: status() == "down", 20)
        last = instance.ok("GET", path)["last_check"]
        assert (last["failure"], last["failure_detail"]) == ("missed", "late")
        instance.call("POST", url)
        assert status() == "up"
        outages = instance.ok("GET", f"{path}/uptime?period=24h")
        parts = ("up", "degraded", "down", "maintenance", "unknown")
        assert outages["unknown_seconds"] >= 3
        assert sum(outages[f"{part}_seconds"] for part in parts) > 0
        assert url.removeprefix("/ping/") not in instance.text, "no token in the log"
    finally:
        instance.close()
