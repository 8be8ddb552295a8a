"""`netpulse serve` as a person meets it: what it prints, what it refuses, how it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3  # noqa: TID251  # a file of a stopped process, seen from outside
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import Vault
from netpulse.model.user import Actor
from netpulse.storage import audit, directory, orgs
from netpulse.storage.db import Conn
from netpulse.storage.opening import open_database
from tests.instance import (
    EMAIL,
    PASSWORD,
    ROOT,
    SOURCE,
    Instance,
    Sink,
    Site,
    eventually,
    free_port,
)

STOPPED_SECONDS = float(os.environ.get("NETPULSE_STOPPED_SECONDS", "6"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def refused(data: Path, *options: str, before: tuple[str, ...] = (), **environ: str) -> str:
    """Start it where it must refuse, and return the one line it says. `before` is the command that
    it is started through."""
    done = subprocess.run(
        # The last of two ports counts; the usual one may be somebody's.
        [*before, *SOURCE, "serve", "--data", str(data), "--port", str(free_port()), *options],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        env=os.environ | environ,
        check=False,
    )
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("netpulse: ")


def test_first_start_prints_address_and_token_and_keeps_both_private(instance: Instance) -> None:
    instance.start()
    token = instance.setup_token()
    assert instance.base in instance.text
    assert "ssh -L" in instance.text
    kept = instance.data / "setup-token"
    assert kept.read_text().strip() == token
    for name in ("setup-token", "secret.key", "netpulse.db"):
        assert stat.S_IMODE((instance.data / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(instance.data.stat().st_mode) == 0o700
    instance.register()
    assert not kept.exists()
    assert instance.call("GET", "/readyz")[0] == 200


def test_the_token_stays_the_same_until_it_is_used(instance: Instance) -> None:
    token = instance.start().setup_token()
    assert instance.stop() == 0
    assert instance.start().setup_token() == token


def test_the_first_administrator_from_the_environment(instance: Instance) -> None:
    environ = {"NETPULSE_ADMIN_EMAIL": EMAIL, "NETPULSE_ADMIN_PASSWORD": PASSWORD}
    instance.start(environ=environ)
    instance.login()
    assert "setup token" not in instance.text.lower()
    instance.stop()
    # Only while no user exists: a later start changes nobody's password.
    instance.start(environ=environ | {"NETPULSE_ADMIN_PASSWORD": "another long passphrase"})
    instance.login()


def test_stops_within_ten_seconds_while_a_browser_listens(instance: Instance) -> None:
    instance.start()
    instance.register()
    with socket.create_connection(("127.0.0.1", instance.port)) as stream:
        request = f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {instance.token}\r\n\r\n"
        stream.sendall(request.encode())
        assert b"200" in stream.recv(4096).splitlines()[0]
        began = time.monotonic()
        assert instance.stop() == 0
        assert time.monotonic() - began < 10


def test_stops_within_ten_seconds_while_somebody_does_not_read_on(instance: Instance) -> None:
    """A large answer that was begun is in the kernel's buffers, and in ours."""
    instance.start()
    instance.register()
    assert instance.stop() == 0
    asyncio.run(_fat_audit_log(instance.data))
    instance.start()
    instance.login()
    with socket.create_connection(("127.0.0.1", instance.port)) as reader:
        path = "/v1/audit-logs/export?format=jsonl"
        request = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {instance.token}\r\n\r\n"
        )
        reader.sendall(request.encode())
        assert b"200" in reader.recv(4096).splitlines()[0]
        began = time.monotonic()
        assert instance.stop(15) == 0
        assert time.monotonic() - began < 10
    assert "answers that nobody reads" in instance.text


async def _fat_audit_log(data: Path) -> None:
    """Write 40 MB of entries."""
    db = await open_database(data, Vault.of(Masters(None, data / directory.KEY), has_data=True))
    (org,) = await db.read(orgs.all)
    text = "x" * 40_000

    def write(conn: Conn) -> None:
        for _ in range(100):
            audit.append(conn, org.id, Actor(kind="system"), "x.y", "x", None, None, text, 1)

    for _ in range(10):
        await db.write(write)
    await db.close()


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(tmp_path / "data", "--port", str(port))
    assert f"port {port}" in line.lower()
    assert "in use" in line


def test_second_instance_on_the_same_data_names_the_first(instance: Instance) -> None:
    instance.start()
    assert instance.process is not None
    line = refused(instance.data)
    assert str(instance.process.pid) in line
    assert str(instance.data) in line


def test_second_instance_that_does_not_meet_the_lock(instance: Instance) -> None:
    """As on a file system whose locks are each machine's own: it hears the first one's signs."""
    instance.start()
    instance.register()
    eventually("a sign of life", (instance.data / "alive").exists, 10)
    lock = instance.data / "netpulse.lock"
    lock.unlink()
    lock.write_text("7 1790000000000 elsewhere\n")
    assert refused(instance.data) == (
        f"another NetPulse (process 7 on elsewhere) is at work on {instance.data}, though its lock "
        "is not seen from here: stop it, or choose a --data on a local disk"
    )
    assert lock.read_text() == "7 1790000000000 elsewhere\n", "the next one hears it too"
    assert instance.call("GET", "/readyz")[0] == 200
    assert instance.stop() == 0
    assert not (instance.data / "alive").exists(), "who ends in order keeps nobody waiting"


def test_unknown_key_is_named_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[server]\nprot = 1\n")
    assert "server.prot" in refused(tmp_path / "data", "--config", str(path))


def test_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("")
    assert str(file) in refused(file)
    assert "/proc/nothing" in refused(Path("/proc/nothing"))


def test_newer_database_wrong_and_missing_key(instance: Instance) -> None:
    instance.start()
    instance.register()
    assert instance.stop() == 0
    key = instance.data / "secret.key"
    right = key.read_text()
    key.write_text("ab" * 32)
    assert "key" in refused(instance.data)
    key.unlink()
    line = refused(instance.data)
    assert "secret.key" in line
    assert not key.exists()
    key.write_text(right)
    with sqlite3.connect(instance.data / "netpulse.db") as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {version + 1}")
    database.close()
    line = refused(instance.data)
    assert str(version) in line
    assert str(version + 1) in line
    with sqlite3.connect(instance.data / "netpulse.db") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    instance.start()
    instance.login()


def test_a_disk_that_takes_nothing_is_said_in_a_sentence(instance: Instance) -> None:
    instance.start()
    instance.stop()
    other = sqlite3.connect(instance.data / "netpulse.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(AssertionError, match="it ended with 1"):
            instance.start()
    finally:
        other.close()
    said = eventually("the reason", lambda: "cannot start" in instance.text and instance.text)
    assert "netpulse: cannot start: the database is busy" in said
    assert "Traceback" not in said


def test_damaged_main_file_is_never_replaced(instance: Instance) -> None:
    instance.start()
    instance.register()
    assert instance.stop() == 0
    main = instance.data / "netpulse.db"
    main.write_bytes(b"")
    assert "netpulse.db" in refused(instance.data)
    main.unlink()
    assert "netpulse.db" in refused(instance.data)
    assert not main.exists() or main.stat().st_size == 0


def test_an_outage_from_start_to_end_with_a_crash_in_the_middle(instance: Instance) -> None:
    site, sink = Site().up(), Sink()
    try:
        instance.start()
        instance.register()
        monitor = instance.ok(
            "POST",
            "/v1/monitors",
            {
                "type": "http",
                "name": "Shop",
                "target": site.url,
                "interval_seconds": 10,
                "timeout_seconds": 2,
                "retry_interval_seconds": 1,
            },
        )
        channel = instance.ok(
            "POST",
            "/v1/alert-channels",
            {"name": "Hook", "type": "webhook", "config": {"url": sink.url, "secret": SECRET}},
        )
        instance.ok(
            "POST",
            "/v1/alert-rules",
            {"name": "Everything", "channel_id": channel["id"], "condition": "down"},
        )
        path = f"/v1/monitors/{monitor['id']}"
        eventually("the shop is up", lambda: instance.ok("GET", path)["status"] == "up", 10)
        site.down()
        eventually("the shop is down", lambda: instance.ok("GET", path)["status"] == "down", 20)
        eventually("a message about it", lambda: len(sink.received) == 1, 10)
        instance.kill()
        instance.start()
        instance.login()
        assert instance.ok("GET", path)["status"] == "down"
        (incident,) = instance.ok("GET", "/v1/incidents")
        assert incident["status"] == "investigating"
        site.up()
        eventually("the shop is back", lambda: instance.ok("GET", path)["status"] == "up", 20)
        eventually("a message about that", lambda: len(sink.distinct()) == 2, 10)
        time.sleep(1)
        # The crash may have come between the answer and the note of it: then the first one was
        # sent once more, with the same id.
        assert len(sink.received) <= 3
        down, up = sink.distinct()
        assert (down["event"], up["event"]) == ("monitor.down", "monitor.up")
        assert down["incident"]["id"] == up["incident"]["id"] == incident["id"]
        assert up["incident"]["duration_seconds"] >= 1
        for headers, body in sink.received:
            Webhook(SECRET).verify(body, headers)
        assert instance.ok("GET", f"/v1/incidents/{incident['id']}")["status"] == "resolved"
        account = instance.ok("GET", f"{path}/uptime?period=24h")
        parts = ("up", "degraded", "down", "maintenance", "unknown")
        assert account["down_seconds"] >= 1
        assert sum(account[f"{part}_seconds"] for part in parts) > 0
        (outage,) = account["outages"]
        assert outage["duration_seconds"] == account["down_seconds"]
    finally:
        site.down()
        sink.close()


def test_suspended_process_blames_nobody(instance: Instance) -> None:
    site, sink = Site().up(), Sink()
    try:
        instance.start()
        instance.register()
        common = {"interval_seconds": 10, "confirmations": 1}
        shop = {"type": "http", "name": "Shop", "target": site.url, "timeout_seconds": 3}
        path = f"/v1/monitors/{instance.ok('POST', '/v1/monitors', shop | common)['id']}"
        # A job whose pings nobody could take while the process was stopped.
        job = {"type": "push", "name": "Job", "grace_seconds": 10}
        job = instance.ok("POST", "/v1/monitors", job | common)
        hook = {"type": "webhook", "name": "Hook", "config": {"url": sink.url}}
        channel_id = instance.ok("POST", "/v1/alert-channels", hook)["id"]
        instance.ok("POST", "/v1/alert-rules", {"channel_id": channel_id, "condition": "down"})

        def all_are_up() -> bool:
            assert instance.call("GET", job["ping_url"])[0] == 200
            return {one["status"] for one in instance.ok("GET", "/v1/monitors")} == {"up"}

        eventually("the shop and the job are up", all_are_up, 10)
        assert instance.process is not None
        rounds = 2 if STOPPED_SECONDS < 60 else 1
        for _ in range(rounds):
            instance.process.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            instance.process.send_signal(signal.SIGCONT)
            time.sleep(2)
            assert instance.call("GET", job["ping_url"])[0] == 200
        instance.login()
        eventually("they are up again", all_are_up, 15)
        assert instance.ok("GET", "/v1/incidents") == []
        assert sink.received == []
        checks = instance.ok("GET", f"{path}/checks?limit=100")
        assert all(check["status"] in ("up", "inconclusive") for check in checks)
        for one in (path, f"/v1/monitors/{job['id']}"):
            account = instance.ok("GET", f"{one}/uptime?period=24h")
            assert account["down_seconds"] == 0
            assert account["unknown_reasons"].get("starved", 0) >= rounds * STOPPED_SECONDS * 2 / 3
    finally:
        site.down()
        sink.close()


def test_a_log_that_somebody_deleted_after_a_crash(instance: Instance) -> None:
    """What was in it is gone. That is said, and whoever knows it may go on with the rest."""
    instance.start()
    instance.register()
    instance.kill()
    main = instance.data / "netpulse.db"
    log, index = Path(f"{main}-wal"), Path(f"{main}-shm")
    kept = log.read_bytes()
    log.unlink()
    assert refused(instance.data) == (
        f"{log} is missing: NetPulse was ended before what it had written last was moved from "
        "there into netpulse.db. Put it back, or restore a backup; to go on without what was in "
        f"it, delete {index}"
    )
    log.write_bytes(kept)
    instance.start()
    instance.login()
    instance.kill()
    log.unlink()
    index.unlink()
    instance.start()
    assert instance.stop() == 0
    with sqlite3.connect(main) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
