"""`netpulse backup` and `restore`: a whole copy beside a running server, and nothing taken on trust."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from netpulse.model.api_key import ApiKey
from netpulse.model.backup import FORMAT, BackedUp, Manifest
from netpulse.model.ids import Id, new_id
from netpulse.model.invitation import VALID, Invitation
from netpulse.model.monitor import BasicAuth, Monitor
from netpulse.model.org import Org
from netpulse.model.time import DAY
from netpulse.model.user import Role, User
from netpulse.storage import (
    api_keys,
    archive,
    audit,
    audit_chains,
    invitations,
    meta,
    monitors,
    orgs,
    password_resets,
    restore,
    rotation,
)
from netpulse.storage.archive import BackupRefused, Unpacker
from netpulse.storage.conn import Conn
from netpulse.storage.migrations import LATEST
from netpulse.storage.rotation import Record
from tests.home import SECRET, Home, home, now, spec
from tests.instance import ROOT, Instance, Site, eventually
from tests.store import add_user

KEY = bytes(range(32)).hex()


def quiet(name: str, count: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)


@asynccontextmanager
async def filled(data: Path) -> AsyncIterator[tuple[Home, Monitor]]:
    """A home with a monitor that has a secret."""
    async with home(data, start=False) as at:
        secret = BasicAuth(username="a", password="hunter2")
        yield at, await at.monitor(spec("https://shop.example/", auth=secret))


def command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of the real program."""
    return subprocess.run(
        [sys.executable, "-m", "netpulse", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        **options,
    )


def backup(data: Path, target: Path, *more: str) -> str:
    """Make a backup with the command; return what it printed."""
    done = command("backup", str(target), "--data", str(data), *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_there_and_back(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "np.zip"
    async with filled(data) as (at, monitor):
        # Beside the process that has the files open.
        text = await asyncio.to_thread(backup, data, target)
        assert "The encryption key is not in it" in text
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        late = await at.monitor(spec("https://late.example/"))
    with zipfile.ZipFile(target) as packed:
        names = packed.namelist()
        manifest = msgspec.json.decode(packed.read("manifest.json"), type=Manifest)
    assert names[0] == "netpulse.db"
    assert names[-1] == "manifest.json"
    assert "secret.key" not in names
    assert (manifest.format, manifest.layout) == (FORMAT, LATEST)
    assert not list(tmp_path.glob(".np.zip*"))

    done = command("restore", str(target), "--data", str(data))
    assert done.returncode == 1
    assert "holds data: add --yes" in done.stderr
    done = command("restore", str(target), "--data", str(data), "--yes")
    assert done.returncode == 0, done.stderr
    assert "Everybody has to sign in anew." in done.stdout
    (kept,) = data.glob("before-restore-*")
    assert (kept / "netpulse.db").exists()
    assert not (data / restore.STAGE).exists()
    async with home(data, start=False) as at:
        found = await at.db.read(monitors.get, at.org.id, monitor.id)
        assert found is not None
        assert found.spec.auth == BasicAuth(username="a", password="hunter2")
        assert await at.db.read(monitors.get, at.org.id, late.id) is None
        (row,) = (await at.db.read(audit.page, audit.INSTANCE)).rows
        assert (row.action, row.actor_kind, row.actor_label) == (
            "instance.restored",
            "cli",
            "restore",
        )
        assert await at.db.read(audit_chains.verify, audit.INSTANCE) == []


async def test_access_that_was_ended_since(tmp_path: Path) -> None:
    """Links have ended; keys, people and grants are as they were, and that is said."""
    data, target, at_time = tmp_path / "data", tmp_path / "np.zip", now()

    def fill(conn: Conn, msp_id: Id) -> User:
        client = orgs.insert(
            conn,
            Org(
                id=new_id(at_time),
                name="Client",
                slug="client",
                created_at=at_time,
                parent_id=msp_id,
            ),
        )
        user = add_user(conn, msp_id, "alice@example.com")
        off = add_user(conn, msp_id, "off@example.com")
        conn.execute("UPDATE users SET is_active = 0 WHERE id = ?", (off.id,))
        conn.execute(
            "INSERT INTO memberships (user_id, org_id, role, kind, created_at)"
            " VALUES (?, ?, 'admin', 'grant', ?)",
            (user.id, client.id, at_time),
        )
        for number, expires_at in enumerate((None, at_time + DAY, at_time - 1)):
            key = ApiKey(
                id=new_id(at_time),
                org_id=msp_id,
                created_by=user.id,
                name="Board",
                prefix=f"np_{number}2345678",
                digest="d",
                scopes=("monitors:read",),
                expires_at=expires_at,
                created_at=at_time,
            )
            api_keys.insert(conn, key)
        password_resets.begin(conn, user.id, "reset", at_time)
        invitation = Invitation(
            id=new_id(at_time),
            org_id=msp_id,
            email="bob@example.com",
            role=Role.VIEWER,
            invited_by=user.id,
            created_at=at_time,
            expires_at=at_time + VALID,
        )
        invitations.insert(conn, invitation, "invited")
        return user

    async with home(data, start=False) as at:
        await at.db.write(fill, at.org.id)
        assert await at.db.read(password_resets.find, "reset", at_time) is not None
        assert await at.db.read(invitations.by_digest, "invited", at_time) is not None
        await asyncio.to_thread(backup, data, target)
    done = command("restore", str(target), "--data", str(data), "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        "API keys: 2, people: 1, grants in clients: 1; all may do again what they might at the time "
        "of the backup. Revoke again what was revoked since. Invitations and links to a new "
        "password have ended.\n"
    ) in done.stdout
    async with home(data, start=False) as at:
        # By a clock that was set back, too.
        assert await at.db.read(password_resets.find, "reset", at_time) is None
        assert await at.db.read(invitations.by_digest, "invited", at_time) is None
        listed = await at.db.read(invitations.page, at.org.id)
        assert [one.email for one in listed.rows] == ["bob@example.com"]
        assert await at.db.read(invitations.count_open, at.org.id, now()) == 0
        assert (await at.db.read(api_keys.page, at.org.id)).total == 3, "nothing is deleted"
        (row,) = (await at.db.read(audit.page, audit.INSTANCE)).rows
        after = msgspec.json.decode(row.payload)["after"]
        assert (after["api_keys"], after["people"], after["grants"]) == (2, 1, 1)


async def test_into_an_empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCRYPTION_KEY")
    data, target, fresh = tmp_path / "data", tmp_path / "np.zip", tmp_path / "fresh"
    async with filled(data):
        (data / "secret.key").write_text(KEY)
        text = await asyncio.to_thread(backup, data, target, "--with-key")
        assert "encryption key" not in text
    done = command("restore", str(target), "--data", str(fresh))
    assert done.returncode == 0, done.stderr
    assert not list(fresh.glob("before-restore-*"))
    assert (fresh / "secret.key").read_text() == KEY
    assert stat.S_IMODE((fresh / "secret.key").stat().st_mode) == 0o600
    async with home(fresh, start=False) as at:
        assert (await at.db.read(monitors.count, at.org.id)) == 1


async def test_without_its_key_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, target = tmp_path / "data", tmp_path / "np.zip"
    async with filled(data):
        await asyncio.to_thread(backup, data, target)
    before = tree(data)
    monkeypatch.setenv("ENCRYPTION_KEY", "00" * 32)
    done = command("restore", str(target), "--data", str(data), "--yes")
    assert done.returncode == 1
    assert "the encryption key at hand does not belong to" in done.stderr
    monkeypatch.delenv("ENCRYPTION_KEY")
    done = command("restore", str(target), "--data", str(data), "--yes")
    assert done.returncode == 1
    assert "the encryption key is missing" in done.stderr
    assert tree(data) == before


def test_across_a_change_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup opens with the key of its time, and only with that."""
    monkeypatch.delenv("ENCRYPTION_KEY")
    data, target = tmp_path / "data", tmp_path / "np.zip"
    first = Instance(data).start()
    try:
        first.register()
        hook = {"url": "https://hooks.example/T0P", "secret": SECRET}
        channel = {"name": "Hook", "type": "webhook", "config": hook}
        first.ok("POST", "/v1/alert-channels", channel)
        backup(data, target)
        kept = tmp_path / "old.key"
        shutil.copy(data / "secret.key", kept)
        done = command("key", "rotate", "--data", str(data))
        assert done.returncode == 0, done.stderr
        first.stop()
        done = command("restore", str(target), "--data", str(data), "--yes")
        assert done.returncode == 1
        assert "the encryption key at hand does not belong to" in done.stderr
        done = command(
            "restore", str(target), "--data", str(data), "--yes", "--key-file", str(tmp_path / "no")
        )
        assert "cannot use" in done.stderr
        done = command(
            "restore", str(target), "--data", str(data), "--yes", "--key-file", str(kept)
        )
        assert done.returncode == 0, done.stderr
        assert (data / "secret.key").read_bytes() == kept.read_bytes()
        first.start()
        first.login()
        (shown,) = first.ok("GET", "/v1/alert-channels")
        assert shown["config"]["secret_set"] is True
    finally:
        first.close()


async def test_not_in_the_middle_of_a_change_of_the_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with filled(data) as (at, _):
        record = Record(old="00" * 4, new="11" * 4, at=now())
        await at.db.write(meta.put, rotation.RECORD, msgspec.json.encode(record).decode())
        done = await asyncio.to_thread(
            command, "backup", str(tmp_path / "np.zip"), "--data", str(data)
        )
    assert done.returncode == 1
    assert "the encryption key is being changed" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def tree(data: Path) -> dict[str, bytes]:
    """What is in a data directory, but for the cards of the locks."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.name not in ("netpulse.lock", "rotation.lock")
    }


async def test_refusals(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "np.zip"
    done = command("backup", str(target), "--data", str(tmp_path / "nothing"))
    assert (done.returncode, "there is no NetPulse data in" in done.stderr) == (1, True)
    async with filled(data):
        await asyncio.to_thread(backup, data, target)
        done = await asyncio.to_thread(command, "backup", str(target), "--data", str(data))
        assert "is there already; a backup is never written over another" in done.stderr
        done = await asyncio.to_thread(
            command, "backup", str(tmp_path / "b.zip"), "--data", str(data), "--with-key"
        )
        assert "the key is in the environment" in done.stderr
        done = await asyncio.to_thread(
            command, "backup", str(tmp_path / "no" / "b.zip"), "--data", str(data)
        )
        assert "cannot write" in done.stderr
    done = command("restore", str(tmp_path / "absent.zip"), "--data", str(data), "--yes")
    assert "No such file" in done.stderr


def rewritten(source: Path, target: Path, change: Callable[[zipfile.ZipFile, Any], None]) -> Path:
    """Copy an archive, letting `change` write what it wants in place of the manifest."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            if info.filename != "manifest.json":
                new.writestr(info, old.read(info))
        change(new, json.loads(old.read("manifest.json")))
    return target


def with_member(name: str, mode: int = 0o100600) -> Callable[[zipfile.ZipFile, Any], None]:
    """Add a member of a hostile name or kind, listed in the manifest or not."""

    def change(new: zipfile.ZipFile, manifest: Any) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        new.writestr(info, b"evil")
        manifest["files"].append({"name": name, "size": 4, "sha256": "0" * 64})
        new.writestr("manifest.json", json.dumps(manifest))

    return change


def with_manifest(**changes: Any) -> Callable[[zipfile.ZipFile, Any], None]:
    """Say something else in the manifest."""

    def change(new: zipfile.ZipFile, manifest: Any) -> None:
        new.writestr("manifest.json", json.dumps(manifest | changes))

    return change


HOSTILE: dict[str, tuple[Callable[[zipfile.ZipFile, Any], None], str]] = {
    "a path upwards": (with_member("../evil.db"), "'../evil.db' in it"),
    "an absolute path": (with_member("/etc/cron.d/evil"), "'/etc/cron.d/evil' in it"),
    "a windows path": (with_member("hot\\2026010100.db"), "in it, which no backup"),
    "upwards below a known folder": (with_member("hot/../../evil.db"), "in it, which no backup"),
    "a strange name": (with_member("config.toml"), "'config.toml' in it"),
    "a link": (with_member("hot/2026010100.db", 0o120777), "'hot/2026010100.db' in it"),
    "a folder": (with_member("hot/"), "'hot/' in it"),
    "a month that is none": (with_member("checks/2026-13.db"), "'checks/2026-13.db' in it"),
    "no manifest": (lambda new, manifest: None, "it has no manifest"),
    "a manifest that is none": (
        lambda new, manifest: new.writestr("manifest.json", b"[1,"),
        "the manifest is damaged",
    ),
    "another shape": (with_manifest(files=7), "the manifest is damaged"),
    "a newer kind": (with_manifest(format=FORMAT + 1), "made by a newer NetPulse"),
    "a newer layout": (with_manifest(layout=LATEST + 1), "whose layout (version"),
    "less than it says": (
        with_manifest(files=[{"name": "netpulse.db", "size": 1, "sha256": "0" * 64}]),
        "its manifest lists other files",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_archive_changes_nothing(tmp_path: Path, what: str) -> None:
    change, said = HOSTILE[what]
    data, sound = tmp_path / "data", tmp_path / "np.zip"
    async with filled(data):
        await asyncio.to_thread(backup, data, sound)
    before = tree(data)
    bad = rewritten(sound, tmp_path / "bad.zip", change)
    done = command("restore", str(bad), "--data", str(data), "--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(data) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "np.zip", "bad.zip"}


async def test_a_damaged_archive_changes_nothing(tmp_path: Path) -> None:
    data, sound = tmp_path / "data", tmp_path / "np.zip"
    async with filled(data):
        await asyncio.to_thread(backup, data, sound)
    before, whole = tree(data), sound.read_bytes()
    bad = tmp_path / "bad.zip"
    for number in range(24):
        place = len(whole) * number // 24
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(BackupRefused):
            restore.unpack(data, bad, quiet)
        bad.write_bytes(whole[:place])
        with pytest.raises(BackupRefused):
            restore.unpack(data, bad, quiet)
        restore.finish(data)
        assert tree(data) == before


def test_no_more_is_unpacked_than_is_said(tmp_path: Path) -> None:
    """A member that unpacks to more than the list of contents says is cut off there."""
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("netpulse.db", bytes(50_000_000))
        one = BackedUp("netpulse.db", 1000, "0" * 64)
        manifest = Manifest(format=1, version="1", layout=1, made_at="", files=(one,))
        file.writestr("manifest.json", msgspec.json.encode(manifest))
    raw = bomb.read_bytes()
    # The central directory lies about the size, as a bomb does.
    at = raw.rfind(b"PK\x01\x02", 0, raw.rfind(b"PK\x01\x02"))
    lying = raw[: at + 24] + (1000).to_bytes(4, "little") + raw[at + 28 :]
    bomb.write_bytes(lying)
    with Unpacker(bomb) as opened, pytest.raises(BackupRefused, match="is damaged"):
        opened.unpack(one, tmp_path / "out", quiet)
    assert (tmp_path / "out").stat().st_size <= 1000


def test_a_crowd_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 50)
    crowd = tmp_path / "crowd.zip"
    with zipfile.ZipFile(crowd, "w") as file:
        for number in range(51):
            file.writestr(f"hot/{number}", b"")
    with pytest.raises(BackupRefused, match="holds 51 files; a backup of NetPulse has at most 50"):
        Unpacker(crowd)


async def test_an_exchange_that_is_killed_is_finished_by_the_next_start(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "np.zip"
    async with filled(data):
        await asyncio.to_thread(backup, data, target)
        (data / "checks" / "2020-01.db").touch()
    (data / "netpulse.db-wal").write_bytes(b"the old log")
    before = tree(data)
    stopped = 0
    for allowed in range(40):
        copy = tmp_path / f"try-{allowed}"
        shutil.copytree(data, copy)
        _, stage = restore.unpack(copy, target, quiet)
        wanted = tree(stage)
        with pytest.MonkeyPatch.context() as patched:
            left = renames(patched, allowed)
            try:
                kept = restore.exchange(copy, stage, now())
                next(left)
                break
            except KeyboardInterrupt:
                stopped += 1
        begun = (stage / "exchange.json").exists()
        assert restore.finish(copy) is begun
        found = tree(copy)
        if not begun:
            assert {k: v for k, v in found.items() if "before-restore" not in k} == before
            continue
        (kept,) = copy.glob("before-restore-*")
        assert tree(kept) == before
        assert {k: v for k, v in found.items() if "before-restore" not in k} == wanted
    assert stopped >= 5


def renames(patched: pytest.MonkeyPatch, allowed: int) -> Iterator[None]:
    """Let `allowed` renames through, then end the process, so to say."""
    real, count = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count > allowed:
            raise KeyboardInterrupt
        return real(self, target)

    patched.setattr(Path, "rename", rename)
    return iter([None])


def test_beside_a_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back up while it checks, lose everything, restore elsewhere, and go on."""
    monkeypatch.delenv("ENCRYPTION_KEY")
    site = Site().up()
    first = Instance(tmp_path / "data").start()
    second = Instance(tmp_path / "moved")
    try:
        first.register()
        monitor = first.ok(
            "POST",
            "/v1/monitors",
            {"name": "Shop", "type": "http", "target": site.url, "interval_seconds": 10},
        )["id"]
        checks = eventually("a check", lambda: first.ok("GET", f"/v1/monitors/{monitor}/checks"))
        # Raw results are committed every second.
        eventually("it is on disk", lambda: list((tmp_path / "data" / "hot").glob("*.db")))
        said = eventually(
            "a backup with the hour in it",
            lambda: with_hour(tmp_path),
        )
        assert "files" in said
        cookie_less = first.token
        first.kill()
        done = command("restore", str(newest(tmp_path)), "--data", str(tmp_path / "moved"))
        assert done.returncode == 0, done.stderr
        second.start()
        second.token = cookie_less
        assert second.call("GET", "/v1/monitors")[0] == 401
        second.token = None
        second.login()
        assert [one["id"] for one in second.ok("GET", "/v1/monitors")] == [monitor]
        kept = second.ok("GET", f"/v1/monitors/{monitor}/checks")
        assert checks[-1]["id"] in {one["id"] for one in kept}
    finally:
        site.down()
        first.close()
        second.close()


def newest(folder: Path) -> Path:
    """The newest backup."""
    return max(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)


def with_hour(folder: Path) -> str | None:
    """Make a backup; return what was said if the hour's checks are in it."""
    target = folder / f"{new_id(now())}.zip"
    said = backup(folder / "data", target, "--with-key")
    with zipfile.ZipFile(target) as packed:
        hours = [name for name in packed.namelist() if name.startswith("hot/")]
        packed.extractall(folder / "looked", hours)
    checks = 0
    for name in hours:
        conn = apsw.Connection(str(folder / "looked" / name))
        checks += conn.execute("SELECT count(*) FROM checks").get
        conn.close()
    return said if checks else None
