"""`netpulse key rotate` as a person meets it, beside a server and without one."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpulse.cli import main
from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import Vault
from netpulse.storage import directory, sealed
from netpulse.storage.lock import ROTATION, DataLock
from netpulse.storage.opening import open_database
from tests.instance import EMAIL, PASSWORD, ROOT, SOURCE, Instance, Sink, eventually
from tests.integration.test_rotation import begun, flip, made
from tests.integration.test_serve import refused
from tests.treasure import assert_opens

OLD, NEW = "00" * 32, "11" * 32
MEANWHILE = "; until then `netpulse serve --degraded` watches, and tells nobody"


class Said:
    """What a command said, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


def rotate(data: Path, *options: str, **environ: str) -> Said:
    """Run the command in a process of its own."""
    return run("key", "rotate", "--data", str(data), *options, **environ)


def run(*words: str, **environ: str) -> Said:
    """Run any command."""
    done = subprocess.run(
        [*SOURCE, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | environ,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    server = Instance(tmp_path / "data")
    yield server
    server.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    receiver = Sink()
    yield receiver
    receiver.close()


def test_help_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "key" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["key", "rotate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "Interrupted at any moment, it goes on when it is run again." in shown


def test_without_data(tmp_path: Path) -> None:
    said = rotate(tmp_path / "none")
    assert said.status == 1
    assert said.err == (
        f"netpulse: there is no NetPulse data in {tmp_path / 'none'}; start `netpulse serve` once, "
        "or name another --data\n"
    )
    assert not (tmp_path / "none").exists()


async def test_what_it_says(tmp_path: Path) -> None:
    _, treasure = await made(tmp_path)
    (tmp_path / "netpulse.db.v6").write_bytes(b"")
    (tmp_path / "before-restore-1").mkdir()
    said = await asyncio.to_thread(rotate, tmp_path)
    assert (said.status, said.err) == (0, "")
    assert said.out == (
        f"Encrypted with the new key: {treasure.count} stored secrets.\n"
        f"The new key is in {tmp_path}/secret.key; keep a copy of it, but not in the same backup.\n"
        "The old key is gone from here.\n"
        "Backups from before open only with the old key: keep it with them, or make a new one.\n"
        f"{tmp_path}/before-restore-1 is from before, and still encrypted with an old key: delete it.\n"
        f"{tmp_path}/netpulse.db.v6 is from before, and still encrypted with an old key: delete it.\n"
    )


async def test_it_finishes_what_was_interrupted(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    new = await begun(tmp_path, masters)
    said = await asyncio.to_thread(rotate, tmp_path)
    assert said.status == 0
    assert said.out.startswith(
        "The change of the key that had been interrupted is finished.\n"
        f"Encrypted with the new key: {treasure.count} stored secrets.\n"
    )
    db = await open_database(tmp_path, Vault(new))
    await db.read(assert_opens, treasure)
    await db.close()


async def test_what_does_not_open_is_named(tmp_path: Path) -> None:
    _, treasure = await made(tmp_path)
    flip(tmp_path, "alert_channels", "config", "id", next(iter(treasure.urls)))
    flip(tmp_path, "pushes", "token", "monitor_id", next(iter(treasure.tokens)))
    said = await asyncio.to_thread(rotate, tmp_path)
    assert (said.status, said.out) == (1, "")
    named = (
        "  ping URL of monitor Job 0: pings still arrive, but the URL cannot be shown; make the "
        "monitor anew for another one\n"
        "  alert channel Ops 0: enter its configuration again\n"
    )
    assert said.err == (
        "netpulse: 2 of the stored secrets cannot be opened, and would be lost with the old key; "
        "mend what is named here, or give it up with --leave-damaged\n" + named
    )
    said = await asyncio.to_thread(rotate, tmp_path, "--leave-damaged")
    assert said.status == 0
    assert f"new key: {treasure.count - 2} stored secrets.\n" in said.out


async def test_two_at_once(tmp_path: Path) -> None:
    await made(tmp_path)
    with DataLock.acquire(tmp_path, ROTATION):
        said = await asyncio.to_thread(rotate, tmp_path)
    assert said.status == 1
    assert said.err == (
        f"netpulse: another command (process {os.getpid()}) is at the key of {tmp_path}; let that "
        "finish\n"
    )


async def test_a_key_from_the_environment(tmp_path: Path) -> None:
    _, treasure = await made(tmp_path, bytes.fromhex(OLD))
    said = await asyncio.to_thread(rotate, tmp_path)
    assert said.status == 1
    assert said.err.startswith("netpulse: the encryption key is missing: ")
    said = await asyncio.to_thread(rotate, tmp_path, ENCRYPTION_KEY=OLD)
    assert said.status == 1
    assert "give the new one as NETPULSE_NEW_ENCRYPTION_KEY" in said.err
    said = await asyncio.to_thread(
        rotate, tmp_path, ENCRYPTION_KEY=OLD, NETPULSE_NEW_ENCRYPTION_KEY="11"
    )
    assert said.err == (
        "netpulse: NETPULSE_NEW_ENCRYPTION_KEY must be 64 hexadecimal digits; make one with "
        "`openssl rand -hex 32`\n"
    )
    both = {"ENCRYPTION_KEY": OLD, "NETPULSE_NEW_ENCRYPTION_KEY": NEW}
    with DataLock.acquire(tmp_path):
        said = await asyncio.to_thread(rotate, tmp_path, **both)
    assert said.status == 1
    assert said.err == (
        f"netpulse: the key comes from the environment, and the running NetPulse (process "
        f"{os.getpid()}) cannot be given another one: stop it, run this again, and start it with "
        "ENCRYPTION_KEY set to the new key\n"
    )
    said = await asyncio.to_thread(rotate, tmp_path, **both)
    assert said.out == (
        f"Encrypted with the new key: {treasure.count} stored secrets.\n"
        "From now on start NetPulse with ENCRYPTION_KEY set to the new key.\n"
        "Backups from before open only with the old key: keep it with them, or make a new one.\n"
    )
    said = await asyncio.to_thread(rotate, tmp_path, **both)
    assert said.out == "Nothing to do: the new key is the one in force already.\n"
    db = await open_database(tmp_path, Vault(bytes.fromhex(NEW)))
    await db.read(assert_opens, treasure)
    await db.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user: run as root")
async def test_root_leaves_the_new_key_to_the_user_that_the_server_runs_as(tmp_path: Path) -> None:
    await made(tmp_path)
    for path in (tmp_path, *tmp_path.iterdir()):
        os.chown(path, 12_345, 12_346)
    said = await asyncio.to_thread(rotate, tmp_path)
    assert said.status == 0, said.err
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    assert owners == dict.fromkeys(("netpulse.db", "secret.key", "rotation.lock"), (12_345, 12_346))


# --- with backups ---


async def test_a_backup_with_its_key_from_before_comes_back_with_the_old_key(
    tmp_path: Path,
) -> None:
    data, saved = tmp_path / "data", tmp_path / "np.zip"
    masters, treasure = await made(data)
    (old,) = masters.load(has_data=True)
    packed = await asyncio.to_thread(run, "backup", str(saved), "--data", str(data), "--with-key")
    assert packed.status == 0, packed.err
    assert (await asyncio.to_thread(rotate, data)).status == 0
    back = await asyncio.to_thread(run, "restore", str(saved), "--data", str(data), "--yes")
    assert back.status == 0, back.err
    assert masters.load(has_data=True) == (old,)
    db = await open_database(data, Vault(old))
    assert await db.read(lambda conn: list(sealed.broken(conn))) == []
    assert db.vault.kept("links") == treasure.kept["links"]
    await db.close()
    said = await asyncio.to_thread(rotate, data)
    assert f"{data}/before-restore-" in said.out


async def test_a_backup_from_before_does_not_come_back_with_the_new_key(tmp_path: Path) -> None:
    data, saved = tmp_path / "data", tmp_path / "np.zip"
    masters, treasure = await made(data)
    packed = await asyncio.to_thread(run, "backup", str(saved), "--data", str(data))
    assert packed.status == 0, packed.err
    assert (await asyncio.to_thread(rotate, data)).status == 0
    back = await asyncio.to_thread(run, "restore", str(saved), "--data", str(data), "--yes")
    assert back.status == 1
    assert "the encryption key at hand does not belong to" in back.err
    db = await open_database(data, Vault(*masters.load(has_data=True)))
    await db.read(assert_opens, treasure)
    await db.close()


async def test_no_backup_with_a_key_that_is_being_changed(tmp_path: Path) -> None:
    data, saved = tmp_path / "data", tmp_path / "np.zip"
    masters, _ = await made(data)
    with DataLock.acquire(data, ROTATION):
        said = await asyncio.to_thread(run, "backup", str(saved), "--data", str(data), "--with-key")
    assert said.status == 1
    assert said.err == (
        f"netpulse: another command (process {os.getpid()}) is at the key of {data}; let that "
        "finish\n"
    )
    await begun(data, masters)
    for options in ((), ("--with-key",)):
        said = await asyncio.to_thread(run, "backup", str(saved), "--data", str(data), *options)
        assert said.status == 1
        assert said.err == (
            "netpulse: the encryption key is being changed: let `netpulse key rotate` come to its "
            "end, then back up\n"
        )
        assert not saved.exists()


async def test_no_restore_while_the_key_is_changed_and_the_other_way_round(tmp_path: Path) -> None:
    data, saved = tmp_path / "data", tmp_path / "np.zip"
    masters, treasure = await made(data)
    packed = await asyncio.to_thread(run, "backup", str(saved), "--data", str(data))
    assert packed.status == 0, packed.err
    restore = ("restore", str(saved), "--data", str(data), "--yes")
    with DataLock.acquire(data, ROTATION):
        said = await asyncio.to_thread(run, *restore)
    assert said.status == 1
    assert said.err == (
        f"netpulse: another command (process {os.getpid()}) is at the key of {data}; let that "
        "finish\n"
    )
    (data / ".restoring").mkdir(mode=0o700)
    (data / ".restoring" / "exchange.json").write_text('{"keep": "k", "old": [], "new": []}')
    said = await asyncio.to_thread(rotate, data)
    assert said.status == 1
    assert said.err == (
        "netpulse: a restore was interrupted: start NetPulse once, which finishes it, and then run "
        "this again\n"
    )
    db = await open_database(data, Vault(*masters.load(has_data=True)))
    await db.read(assert_opens, treasure)
    await db.close()


@pytest.mark.slow
def test_a_start_with_an_old_key_a_half_way_one_or_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    masters, _ = asyncio.run(made(data))
    main_file = data / directory.MAIN
    old = masters.path.read_text().strip()
    asyncio.run(begun(data, masters))
    assert refused(data, ENCRYPTION_KEY=old).startswith(
        f"a change of the encryption key was interrupted, and {main_file} needs the old and the new"
    )
    assert rotate(data).status == 0
    assert re.fullmatch(
        re.escape(f"the encryption key of {main_file} was changed at ")
        + r"\S+Z"
        + re.escape(
            ", and this is the one from before: use the new one (ENCRYPTION_KEY, or secret.key)"
            f"{MEANWHILE}"
        ),
        refused(data, ENCRYPTION_KEY=old),
    )
    assert refused(data, ENCRYPTION_KEY=NEW) == (
        f"the encryption key does not belong to {main_file}: set ENCRYPTION_KEY, or restore "
        f"secret.key, as it was when the data was written{MEANWHILE}"
    )
    masters.path.rename(tmp_path / "kept.key")
    assert refused(data) == (
        f"the encryption key is missing: {masters.path} does not exist and ENCRYPTION_KEY is not "
        "set, but there is data that was encrypted with it; restore the key file from your backup"
        f"{MEANWHILE}"
    )
    assert not masters.path.exists(), "none is made over existing data"


# --- beside `serve` ---


def hook(instance: Instance, name: str, url: str) -> str:
    body = {"name": name, "type": "webhook", "config": {"url": url}}
    return str(instance.ok("POST", "/v1/alert-channels", body)["id"])


@pytest.mark.slow
def test_while_serve_runs_and_writes(instance: Instance, sink: Sink) -> None:
    instance.start().register()
    first = hook(instance, "First", sink.url)
    monitor = instance.ok(
        "POST",
        "/v1/monitors",
        {"name": "Job", "type": "push", "interval_seconds": 3600},
    )
    key = instance.ok("POST", "/v1/api-keys", {"name": "k", "scopes": ["monitors:read"]})["key"]
    cookie = refresh_cookie(instance)
    before = (instance.data / "secret.key").read_text()
    made: list[str] = []
    stop = threading.Event()

    def write_on() -> None:
        while not stop.is_set():
            status, _, answer = instance.call(
                "POST",
                "/v1/alert-channels",
                {"name": f"Hook {len(made)}", "type": "webhook", "config": {"url": sink.url}},
            )
            if status == 401:
                # The key of access tokens goes with the old key; the sign-in stays.
                instance.login()
                continue
            assert status == 201, answer
            made.append(answer["data"]["id"])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(3):
            said = rotate(instance.data)
            assert (said.status, said.err) == (0, ""), said.err
    finally:
        stop.set()
        writer.join(30)
    assert made
    after = (instance.data / "secret.key").read_text()
    assert after != before
    assert stat.S_IMODE((instance.data / "secret.key").stat().st_mode) == 0o600
    # The running server opens what was there before, and what came meanwhile.
    instance.login()
    for channel_id in (first, made[0], made[-1]):
        assert instance.ok("POST", f"/v1/alert-channels/{channel_id}/test")["ok"]
    assert len(sink.received) == 3
    # Found by digests, whose keys stay: the push token, the API key, the refresh token.
    assert instance.call("GET", f"/ping/{monitor['ping_url'].rpartition('/')[2]}")[0] == 200
    token, instance.token = instance.token, None
    assert instance.call("GET", "/v1/monitors", headers={"X-API-Key": key})[0] == 200
    assert instance.call("POST", "/v1/auth/refresh", headers={"Cookie": cookie})[0] == 200
    instance.token = token
    assert "secrets are encrypted with another key from now on" in instance.text
    assert "ERROR" not in instance.text
    # And the new key alone suffices for a start.
    assert instance.stop() == 0
    assert asyncio.run(headers(instance.data)) == {Vault(bytes.fromhex(after)).header}
    instance.start()
    instance.login()
    assert instance.ok("POST", f"/v1/alert-channels/{made[-1]}/test")["ok"]
    rows = instance.ok("GET", "/v1/alert-channels?limit=100")
    assert not any(row.get("damage") for row in rows)


async def headers(data: Path) -> set[bytes]:
    """Return how the sealed values of every column begin."""
    masters = Masters(None, data / directory.KEY)
    db = await open_database(data, Vault(*masters.load(has_data=True)))
    found = set()
    for column in sealed.COLUMNS:
        values = await db.read(sealed.values, column, "")
        found |= {value.sealed[:5] for value in values}
    await db.close()
    return found


def refresh_cookie(instance: Instance) -> str:
    """Sign in, and return the cookie with the refresh token."""
    _, found, _ = instance.call("POST", "/v1/auth/login", {"email": EMAIL, "password": PASSWORD})
    return found["set-cookie"].partition(";")[0]


def test_an_access_token_from_before_ends_and_is_refreshed(instance: Instance) -> None:
    instance.start().register()
    cookie = refresh_cookie(instance)
    assert instance.call("GET", "/v1/monitors")[0] == 200
    assert rotate(instance.data).status == 0

    def ended() -> bool:
        return instance.call("GET", "/v1/monitors")[0] == 401

    eventually("the token from before the change ends", ended, 15)
    instance.token = None
    status, _, answer = instance.call("POST", "/v1/auth/refresh", headers={"Cookie": cookie})
    assert status == 200
    instance.token = answer["data"]["access_token"]
    assert instance.call("GET", "/v1/monitors")[0] == 200


def test_a_server_with_its_key_from_the_environment(instance: Instance) -> None:
    instance.start(environ={"ENCRYPTION_KEY": OLD})
    assert instance.process is not None
    both = {"ENCRYPTION_KEY": OLD, "NETPULSE_NEW_ENCRYPTION_KEY": NEW}
    said = rotate(instance.data, **both)
    assert said.status == 1
    assert (
        "stop it, run this again, and start it with ENCRYPTION_KEY set to the new key" in said.err
    )
    # The same key in a file does not make it good: the server would not look there.
    (instance.data / "secret.key").write_text(OLD)
    said = rotate(instance.data)
    assert said.status == 1
    assert said.err == (
        f"netpulse: the running NetPulse (process {instance.process.pid}) has its key from the "
        "environment: stop it, and run this with ENCRYPTION_KEY as it has it and "
        "NETPULSE_NEW_ENCRYPTION_KEY\n"
    )
    (instance.data / "secret.key").unlink()
    assert instance.stop() == 0
    assert rotate(instance.data, **both).status == 0
    instance.start(environ={"ENCRYPTION_KEY": NEW})


def test_a_start_half_way_says_so_and_works(instance: Instance) -> None:
    masters, _ = asyncio.run(made(instance.data))
    asyncio.run(begun(instance.data, masters))
    instance.start()
    assert (
        "a change of the encryption key was interrupted: run `netpulse key rotate` to finish it"
        in instance.text
    )
    assert rotate(instance.data).status == 0
    assert instance.call("GET", "/healthz")[0] == 200


def test_serve_says_that_the_new_key_is_not_for_it(instance: Instance) -> None:
    instance.start(environ={"NETPULSE_NEW_ENCRYPTION_KEY": NEW})
    assert (
        "netpulse: warning: NETPULSE_NEW_ENCRYPTION_KEY is for `netpulse key rotate` alone and is "
        "ignored" in instance.text
    )
