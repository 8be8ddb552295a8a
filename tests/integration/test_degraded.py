"""`netpulse serve --degraded`: without the key the targets are watched, nobody is told, and nothing
that the right key opens is lost."""

from __future__ import annotations

import sqlite3  # noqa: TID251  # the file as it lies there, seen from outside
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.instance import ROOT, SOURCE, Instance, Sink, Site, eventually, shop
from tests.integration.test_serve import SECRET, refused

WITHOUT = "NetPulse runs without its encryption key"
JOB = {"type": "push", "name": "Job", "interval_seconds": 10, "grace_seconds": 5}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def swapped(key: Path) -> None:
    key.write_text("ab" * 32 + "\n")


def removed(key: Path) -> None:
    key.unlink()


def sealed(data: Path) -> dict[str, object]:
    """Return every value that the key has sealed, and what names the key, as they lie there."""
    database = sqlite3.connect(data / "netpulse.db")
    try:
        found: dict[str, object] = dict(
            database.execute(
                "SELECT key, value FROM meta WHERE key IN ('vault_check', 'kept_keys', 'audit_roll')"
            ).fetchall()
        )
        for table, column in (
            ("alert_channels", "config"),
            ("monitors", "secrets"),
            ("pushes", "token"),
            ("pushes", "digest"),
        ):
            values = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608
            found[f"{table}.{column}"] = database.execute(values).fetchall()
    finally:
        database.close()
    return found


def incidents(instance: Instance, status: str) -> list[Any]:
    return [one for one in instance.ok("GET", "/v1/incidents") if one["status"] == status]


def doctor(data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SOURCE, "doctor", "--data", str(data)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("lose", [swapped, removed])
def test_it_watches_tells_nobody_and_tells_all_of_it_with_the_right_key(
    instance: Instance, lose: Callable[[Path], None]
) -> None:
    site, sink = Site().up(), Sink()
    try:
        instance.start()
        instance.register()
        instance.tell(sink.url)
        path = instance.watch(site.url)
        private = {"auth": {"type": "basic", "username": "u", "password": "TOP-SECRET"}}
        guarded = instance.watch(site.url, "Guarded", **private)
        job = instance.ok("POST", "/v1/monitors", JOB)
        (channel,) = instance.ok("GET", "/v1/alert-channels")
        spec = {"name": "Hook", "type": "webhook", "config": {"url": sink.url, "secret": SECRET}}
        instance.ok("PUT", f"/v1/alert-channels/{channel['id']}", spec)
        key = instance.ok("POST", "/v1/api-keys", {"name": "Robot", "scopes": ["monitors:read"]})

        def all_are_up() -> bool:
            assert instance.call("GET", job["ping_url"])[0] == 200
            return {one["status"] for one in instance.ok("GET", "/v1/monitors")} == {"up"}

        eventually("all are up", all_are_up, 30)
        assert instance.stop() == 0
        right, before = (instance.data / "secret.key").read_bytes(), sealed(instance.data)
        lose(instance.data / "secret.key")
        wrong = sorted(instance.data.glob("secret.key*"))
        line = refused(instance.data)
        assert "key" in line
        assert line.endswith("until then `netpulse serve --degraded` watches, and tells nobody")
        assert sealed(instance.data) == before

        instance.start("--degraded")
        assert "WITHOUT ITS ENCRYPTION KEY" in instance.text
        instance.login()
        site.down()
        eventually("the shop is down", lambda: incidents(instance, "investigating"), 30)
        # A crash in between changes nothing of it.
        instance.kill()
        instance.start("--degraded")
        instance.login()
        site.up()
        eventually("the shop is back", lambda: incidents(instance, "resolved"), 30)
        status, _, ready = instance.call("GET", "/readyz")
        assert (status, ready["status"]) == (503, "not ready")
        assert ready["encryption_key"] == "missing or another one: nobody is told"

        # Nothing is sealed or made that only the right key could.
        config = {"url": sink.url, "secret": SECRET}
        for method, where, body in (
            ("POST", "/v1/alert-channels", spec | {"name": "Another"}),
            ("PUT", f"/v1/alert-channels/{channel['id']}", spec | {"config": config}),
            ("POST", "/v1/monitors", shop(site.url, "New") | private),
            ("PUT", guarded, shop(site.url, "Guarded") | {"tags": ["x"]}),
            ("POST", "/v1/monitors", JOB | {"name": "Another job"}),
            ("POST", "/v1/api-keys", {"name": "Another", "scopes": ["monitors:read"]}),
            ("POST", "/v1/org/members/invite", {"email": "x@example.com", "role": "viewer"}),
        ):
            status, _, said = instance.call(method, where, body)
            assert (status, said["error"]["code"]) == (503, "ENCRYPTION_KEY_MISSING"), where
            assert said["error"]["message"].startswith(WITHOUT)
        token, instance.token = instance.token, None
        robot = {"X-API-Key": key["key"]}
        assert instance.call("GET", "/v1/monitors", headers=robot)[0] == 503
        status, _, said = instance.call("GET", job["ping_url"])
        assert status == 503, "the job is to send it again"
        assert "key" not in str(said), "which is nobody's business"
        instance.token = token
        tested = instance.ok("POST", f"/v1/alert-channels/{channel['id']}/test")
        assert (tested["ok"], WITHOUT in tested["error"]) == (False, True)

        # What needs no secret goes on: also a monitor that is made now.
        instance.ok("POST", "/v1/monitors", shop(site.url, "Second shop"))
        for one in (guarded, f"/v1/monitors/{job['id']}"):
            assert WITHOUT in instance.ok("GET", one)["problem"]

            def seen(one: str = one) -> set[str]:
                return {each["status"] for each in instance.ok("GET", f"{one}/checks?limit=100")}

            eventually("it was looked at", lambda: "inconclusive" in seen(), 30)
            assert seen() == {"up", "inconclusive"}
            assert instance.ok("GET", f"{one}/uptime?period=24h")["down_seconds"] == 0
        assert "nobody is told of anything" in doctor(instance.data).stdout
        assert sink.received == []
        notices = instance.ok("GET", "/v1/alert-events?limit=100")
        assert [(one["status"], one["attempts"]) for one in notices] == [("pending", [])] * 2
        assert sealed(instance.data) == before
        assert sorted(instance.data.glob("secret.key*")) == wrong
        assert instance.stop() == 0

        (instance.data / "secret.key").write_bytes(right)
        instance.start()
        assert "nobody is told" not in instance.text
        instance.login()
        eventually("both are told", lambda: len(sink.received) == 2, 20)
        time.sleep(2)
        assert [one["event"] for one in sink.events()] == ["monitor.down", "monitor.up"]
        assert len(sink.distinct()) == 2
        for headers, body in sink.received:
            Webhook(SECRET).verify(body, headers)
        assert {one["status"] for one in instance.ok("GET", "/v1/alert-events")} == {"sent"}
        eventually("all are up", all_are_up, 30)
        assert (
            instance.ok("GET", f"/v1/monitors/{job['id']}/uptime?period=24h")["down_seconds"] == 0
        )
        assert len(instance.ok("GET", "/v1/incidents")) == 1
        assert instance.ok("GET", path)["problem"] is None
        assert instance.call("GET", "/readyz")[0] == 200
        told = instance.ok("GET", "/v1/audit-logs?action=audit_log.signed_late")
        assert [one["payload"]["after"]["first"] > 1 for one in told] == [True]
        looked = doctor(instance.data)
        assert looked.returncode == 0, looked.stdout
    finally:
        site.down()
        sink.close()


def test_with_the_right_key_and_without_data_it_changes_nothing(instance: Instance) -> None:
    instance.start("--degraded")
    assert (instance.data / "secret.key").exists()
    instance.register()
    assert instance.call("GET", "/readyz")[0] == 200
    assert instance.stop() == 0
    instance.start("--degraded")
    assert "the encryption key fits: --degraded changes nothing" in instance.text
    instance.login()
    assert instance.call("GET", "/readyz")[0] == 200
    channel = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    instance.ok("POST", "/v1/alert-channels", channel)


def test_a_key_that_is_none_and_data_that_is_damaged(instance: Instance) -> None:
    instance.start()
    instance.register()
    assert instance.stop() == 0
    (instance.data / "secret.key").write_text("no key\n")
    assert "--degraded" in refused(instance.data)
    instance.start("--degraded")
    instance.login()
    assert instance.stop() == 0
    # What the option is not for: no start makes a file over what is missing or damaged.
    with sqlite3.connect(instance.data / "netpulse.db") as database:
        database.execute("DELETE FROM meta WHERE key = 'vault_check'")
    database.close()
    assert "is not a whole NetPulse database" in refused(instance.data, "--degraded")
    (instance.data / "netpulse.db").write_bytes(b"")
    assert "netpulse.db is empty" in refused(instance.data, "--degraded")
