"""`netpulse doctor`: what it sees, in which words, and that it changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from netpulse.cli import doctor_checks, main
from netpulse.config import Config, Loaded, Secrets, Storage
from netpulse.crypto.keys import Masters
from netpulse.crypto.lost import LostVault
from netpulse.crypto.vault import Vault
from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY, HOUR
from netpulse.storage import audit, directory, keyless, letters, runs
from netpulse.storage.lock import DataLock
from netpulse.storage.migrations import LATEST
from netpulse.storage.opening import open_database
from tests.home import now
from tests.instance import Instance
from tests.integration.test_rotation import begun, flip, made, older
from tests.integration.test_storage_audit import note, rewritten, slipped_in, tamper
from tests.store import add_org
from tests.treasure import Treasure


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    server = Instance(tmp_path / "data")
    yield server
    server.close()


class Said:
    """What it said, as people and as programs read it."""

    def __init__(self, status: int, report: dict[str, Any], text: str) -> None:
        self.status = status
        self.report = report
        self.text = text

    def finding(self, name: str) -> tuple[str, str, list[str]]:
        """Return (state, text, details) of the only finding of that name."""
        (found,) = (each for each in self.report["checks"] if each["name"] == name)
        return found["state"], found["text"], found["details"]

    @property
    def attention(self) -> list[str]:
        """Return the names of what needs attention."""
        return [each["name"] for each in self.report["checks"] if each["state"] == "attention"]


Ask = Callable[..., Said]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask the command, both ways."""

    def ask(data: Path, *options: str) -> Said:
        status = main(["doctor", "--data", str(data), *options])
        text = capsys.readouterr().out
        assert main(["doctor", "--data", str(data), *options, "--json"]) == status
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is (status == 0)
        return Said(status, report, text)

    return ask


def filled(data: Path) -> Treasure:
    """Make a data directory with secrets, two chains of entries, and a run."""

    async def fill() -> Treasure:
        masters, treasure = await made(data)
        db = await open_database(data, Vault(*masters.load(has_data=True)))
        for number in range(4):
            await db.write(note, treasure.org_id, number)
        other = await db.write(add_org, "Other")
        await db.write(note, other.id)
        await db.write(runs.begin, now(), "test")
        await db.close()
        data.chmod(0o700)
        return treasure

    return asyncio.run(fill())


def snapshot(data: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return rights, owner, time and content of every file."""
    found = {}
    for path in sorted(data.rglob("*")):
        info = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (info.st_mode, info.st_uid, info.st_mtime_ns, content)
    return found


def test_all_is_well_and_nothing_is_changed(tmp_path: Path, doctor: Ask) -> None:
    treasure = filled(tmp_path)
    before = snapshot(tmp_path)
    said = doctor(tmp_path)
    assert snapshot(tmp_path) == before
    assert said.status == 0, said.text
    assert said.text.endswith("\nAll is well.\n")
    assert said.finding("stored secrets") == ("ok", f"all {treasure.count} open", [])
    assert said.finding("audit log") == (
        "ok",
        "5 entries in 2 chains, all as they were written",
        [],
    )
    assert said.finding("layout") == ("ok", f"version {LATEST}, the latest", [])
    assert said.finding("server") == ("note", "it does not run", [])
    assert said.finding("key") == (
        "ok",
        f"in {tmp_path}/secret.key; keep a copy of it, but not in the same place as the backups",
        [],
    )
    names = [each["name"] for each in said.report["checks"]]
    assert names == [
        "program",
        "configuration",
        "data directory",
        "files",
        "disk space",
        "server",
        "results",
        "key",
        "database",
        "layout",
        "clock",
        "watching",
        "mail",
        "key fits",
        "stored secrets",
        "audit log",
    ]
    shown = [line[11:25].strip() for line in said.text.splitlines()[2:-2]]
    assert shown == names


def test_the_ends_of_the_audit_log_can_be_kept_elsewhere(tmp_path: Path, doctor: Ask) -> None:
    treasure = filled(tmp_path)
    ends = doctor(tmp_path).report["audit_ends"]
    assert sorted((end["name"], end["entries"]) for end in ends) == [("Acme", 4), ("Other", 1)]
    (acme,) = (end for end in ends if end["name"] == "Acme")
    connection = apsw.Connection(str(tmp_path / directory.MAIN))
    rows = connection.execute("SELECT hash FROM audit_logs WHERE seq = 4").fetchall()
    connection.close()
    assert [(acme["hash"],)] == rows
    assert acme["org_id"] == treasure.org_id


def test_without_data(tmp_path: Path, doctor: Ask) -> None:
    said = doctor(tmp_path / "none")
    assert said.status == 1
    assert said.text.splitlines()[-3:] == [
        (
            f"ATTENTION  data directory  there is none at {tmp_path}/none: start `netpulse serve` once, "
            "or name another --data"
        ),
        "",
        "One thing needs attention.",
    ]
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir(mode=0o700)
    said = doctor(tmp_path / "empty")
    assert said.finding("database") == (
        "attention",
        f"{tmp_path}/empty/netpulse.db is missing: restore it from a backup",
        [],
    )
    assert list((tmp_path / "empty").iterdir()) == []


def test_beside_a_running_server(instance: Instance, doctor: Ask) -> None:
    instance.start().register()
    assert instance.process is not None
    said = doctor(instance.data)
    assert said.status == 0, said.text
    assert said.finding("server") == ("ok", f"it runs (process {instance.process.pid})", [])
    state, text, _ = said.finding("audit log")
    assert (state, text.endswith("all as they were written")) == ("ok", True)
    assert instance.call("GET", "/readyz")[0] == 200
    instance.kill()
    said = doctor(instance.data)
    assert said.status == 0, "with the log that a killed server leaves"
    assert said.finding("server") == ("note", "it does not run", [])


# --- around the data ---


def test_rights_and_owners(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    (tmp_path / "secret.key").chmod(0o644)
    (tmp_path / "hot").mkdir(mode=0o755)
    tmp_path.chmod(0o750)
    said = doctor(tmp_path)
    assert said.attention == ["data directory", "files"]
    assert said.finding("data directory")[1] == (
        f"others may look into it (mode 0750); run: chmod 700 {tmp_path}"
    )
    assert said.finding("files")[1:] == (
        "2 of 3 have the wrong rights or owner",
        [
            f"{tmp_path}/hot: others may read or change it (mode 0755)",
            f"{tmp_path}/secret.key: others may read or change it (mode 0644)",
        ],
    )
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o644, "it mends nothing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away: run as root")
def test_a_file_of_somebody_else(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    os.chown(tmp_path / "secret.key", 12_345, 12_345)
    said = doctor(tmp_path)
    assert said.attention == ["files"]
    assert said.finding("files")[2] == [
        f"{tmp_path}/secret.key: it belongs to uid 12345, the directory to uid 0"
    ]


def test_the_configuration(tmp_path: Path, doctor: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setenv("NETPULSE_SERVER_PROT", "80")
    said = doctor(tmp_path)
    assert said.attention == ["configuration"]
    assert said.finding("configuration")[1:] == (
        "1 warning",
        ["NETPULSE_SERVER_PROT is no setting of NetPulse and is ignored"],
    )
    assert main(["doctor", "--data", str(tmp_path), "--config", str(tmp_path / "no.toml")]) == 1


def test_little_room(small_disk: Path, doctor: Ask) -> None:
    filled(small_disk / "data")
    said = doctor(small_disk / "data")
    assert said.attention == ["disk space"]
    assert said.finding("disk space")[1].endswith("; make room before the disk is full")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root's rights: run as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_results_that_were_put_aside(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    (tmp_path / "checks").mkdir(mode=0o700)
    aside = tmp_path / "checks" / "2026-10.db.damaged-20261101T000000Z"
    aside.touch(mode=0o600)
    (tmp_path / "checks" / "2026-11.db").touch(mode=0o600)
    said = doctor(tmp_path)
    assert said.attention == ["results"]
    assert said.finding("results")[1:] == ("1 damaged file was put aside", [str(aside)])


def test_a_clock_that_was_set_back(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    sql(tmp_path, f"UPDATE runs SET seen_at = seen_at + {2 * HOUR}")  # noqa: S608 - a number of ours
    said = doctor(tmp_path)
    assert said.attention == ["clock"]
    assert "but a server was last seen at" in said.finding("clock")[1]


def sql(data: Path, *statements: str) -> None:
    connection = apsw.Connection(str(data / directory.MAIN))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


# --- the file ---


def test_a_damaged_file(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    with (tmp_path / directory.MAIN).open("r+b") as file:
        for page in range(20, 40):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    said = doctor(tmp_path)
    assert said.attention == ["database"]
    _, text, _ = said.finding("database")
    assert text.startswith(f"{tmp_path}/netpulse.db is damaged")
    assert text.endswith(": keep a copy of it and restore a backup")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_what_is_no_database(tmp_path: Path, doctor: Ask, content: bytes) -> None:
    filled(tmp_path)
    (tmp_path / directory.MAIN).write_bytes(content)
    said = doctor(tmp_path)
    assert said.attention == ["database"]
    assert "restore" in said.finding("database")[1]


def test_layouts(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    sql(tmp_path, f"PRAGMA user_version = {LATEST + 1}")
    said = doctor(tmp_path)
    assert said.finding("layout") == (
        "attention",
        f"version {LATEST + 1}; this program knows up to {LATEST}: install the newer one again",
        [],
    )
    sql(tmp_path, f"PRAGMA user_version = {LATEST - 1}")
    said = doctor(tmp_path)
    assert said.status == 0
    assert said.finding("layout") == (
        "note",
        f"version {LATEST - 1}; the next start brings it to {LATEST}, and keeps a copy",
        [],
    )


# --- keys and secrets ---


def test_no_key(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    (tmp_path / "secret.key").unlink()
    said = doctor(tmp_path)
    assert said.attention == ["key"]
    assert said.finding("key")[1].startswith("the encryption key is missing: ")
    assert said.finding("database")[0] == "ok", "the rest is looked at all the same"
    assert not (tmp_path / "secret.key").exists(), "and none is made"


def test_another_key(tmp_path: Path, doctor: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setenv("ENCRYPTION_KEY", "ab" * 32)
    said = doctor(tmp_path)
    assert said.attention == ["key fits"]
    assert said.finding("key fits")[1] == (
        f"the encryption key does not belong to {tmp_path}/netpulse.db: set ENCRYPTION_KEY, or "
        "restore secret.key, as it was when the data was written"
    )
    assert said.finding("key") == (
        "note",
        (
            f"ENCRYPTION_KEY counts; {tmp_path}/secret.key lies there too and is not used: remove it "
            "if it is an old one"
        ),
        [],
    )


def test_a_change_of_the_key_that_was_interrupted(tmp_path: Path, doctor: Ask) -> None:
    async def half() -> Treasure:
        masters, treasure = await made(tmp_path)
        await begun(tmp_path, masters)
        return treasure

    treasure = asyncio.run(half())
    tmp_path.chmod(0o700)
    said = doctor(tmp_path)
    assert said.attention == ["key"]
    assert said.finding("key")[1] == (
        f"a change of it was interrupted ({tmp_path}/secret.key.next is there): run `netpulse key "
        "rotate` to finish it"
    )
    assert said.finding("stored secrets") == ("ok", f"all {treasure.count} open", [])


def test_drafts_of_a_key_that_lie_about(tmp_path: Path, doctor: Ask) -> None:
    asyncio.run(made(tmp_path))
    tmp_path.chmod(0o700)
    left = [tmp_path / name for name in ("secret.key.7", "secret.key.next.12345")]
    for path in left:
        path.write_text("00" * 32)
    text = (
        "2 drafts of a key, left by a command that was killed (or that is just at it): `netpulse "
        "key rotate` removes them, or remove them by hand"
    )
    found = doctor(tmp_path).finding("key drafts")
    assert found == ("note", text, [str(path) for path in left])


def test_letters_that_nobody_takes(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    refused = "connection refused by 192.0.2.25:587"

    async def write() -> None:
        masters = Masters(None, tmp_path / directory.KEY)
        db = await open_database(tmp_path, Vault(*masters.load(has_data=True)))
        for age, kind, error, again in (
            (9 * DAY, LetterKind.SECURITY, "long ago", None),
            (2 * HOUR, LetterKind.PASSWORD_RESET, "550 5.1.1 no such user", None),
            (HOUR, LetterKind.INVITATION, refused, now() + HOUR),
        ):
            at = now() - age
            letter_id = await db.write(
                letters.post, kind, "alice@example.com", "S", "T", at, expires_at=at + 9 * DAY
            )
            await db.write(letters.failed, letter_id, error, again)
        recalled = ("bob@example.com", "S", "T", now())
        await db.write(letters.post, LetterKind.SECURITY, *recalled, expires_at=now() + DAY)
        await db.write(letters.recall, None, LetterKind.SECURITY, "bob@example.com", "withdrawn")
        await db.close()

    asyncio.run(write())
    said = doctor(tmp_path)
    assert said.attention == ["mail"]
    state, text, details = said.finding("mail")
    assert (state, text) == ("attention", "2 letters of the last 7 days could not be sent")
    assert [detail.partition(": ")[2] for detail in details] == [
        f"not sent yet: {refused}; it is tried again",
        "could not be sent: 550 5.1.1 no such user",
    ]
    assert [detail.partition(" of ")[0] for detail in details] == ["invitation", "password reset"]
    assert "@example.com" not in said.text


def test_secrets_that_do_not_open_are_named(tmp_path: Path, doctor: Ask) -> None:
    treasure = filled(tmp_path)
    flip(tmp_path, "alert_channels", "config", "id", next(iter(treasure.urls)))
    flip(tmp_path, "monitors", "secrets", "id", next(iter(treasure.passwords)))
    flip(tmp_path, "users", "totp_secret", "id", next(iter(treasure.totp)), 2)
    said = doctor(tmp_path)
    assert said.attention == ["stored secrets"]
    assert said.finding("stored secrets")[1:] == (
        f"3 of {treasure.count} do not open",
        [
            "monitor Shop 0: enter its passwords and keys again",
            "alert channel Ops 0: enter its configuration again",
            "second factor of user0@acme.example: netpulse user reset-2fa lets them set it up again",
        ],
    )
    assert "secret-0" not in said.text


@pytest.mark.parametrize("column", ["vault_check", "kept_keys"])
def test_a_damaged_key_of_the_instance(tmp_path: Path, doctor: Ask, column: str) -> None:
    filled(tmp_path)
    flip(tmp_path, "meta", "value", "key", column)
    said = doctor(tmp_path)
    assert said.attention == ["key fits"]
    assert "is damaged: " in said.finding("key fits")[1]


def test_a_file_from_before_keys_were_kept_is_left_as_it_is(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    master = bytes.fromhex((tmp_path / "secret.key").read_text())
    older(tmp_path, master)
    sql(tmp_path, f"PRAGMA user_version = {LATEST - 1}")
    before = snapshot(tmp_path)
    assert doctor(tmp_path).status == 0
    assert snapshot(tmp_path) == before


# --- the audit log ---

SIGNED = "the end of the chain was here once, and is not signed by this instance"


@pytest.mark.parametrize(
    ("statements", "first", "problems"),
    [
        pytest.param(
            ("UPDATE audit_logs SET payload = '{}' WHERE seq = 2",),
            2,
            ["entry 2: its content was changed"],
            id="changed",
        ),
        pytest.param(
            ("DELETE FROM audit_logs WHERE seq = 3",),
            3,
            ["entry 3: row 3 is missing"],
            id="deleted",
        ),
        pytest.param(
            (slipped_in(5),),
            5,
            ["entry 5: it was added behind the end of the chain"],
            id="inserted",
        ),
        pytest.param(
            ("DELETE FROM audit_logs WHERE seq = 4",),
            4,
            ["entry 4: the end of the chain is not where it was left"],
            id="cut off",
        ),
        pytest.param(
            (
                "DELETE FROM audit_logs WHERE seq = 4",
                (
                    "UPDATE audit_heads SET seq = 3, hash ="
                    " (SELECT hash FROM audit_logs a WHERE seq = 3 AND a.org_id = audit_heads.org_id)"
                    " WHERE seq = 4"
                ),
            ),
            3,
            [f"entry 3: {SIGNED}"],
            id="cut off with its end",
        ),
        pytest.param(
            (
                "UPDATE audit_logs SET seq = 9 WHERE seq = 2",
                "UPDATE audit_logs SET seq = 2 WHERE seq = 3",
                "UPDATE audit_logs SET seq = 3 WHERE seq = 9",
            ),
            2,
            [
                "entry 2: it does not follow the row before it",
                "entry 2: its content was changed",
                "entry 3: it does not follow the row before it",
                "entry 3: its content was changed",
                "entry 4: it does not follow the row before it",
            ],
            id="swapped",
        ),
    ],
)
def test_tampering_is_named(
    tmp_path: Path, doctor: Ask, statements: tuple[str, ...], first: int, problems: list[str]
) -> None:
    """In a copy, with raw SQL and without the triggers."""
    filled(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    tamper(tmp_path / "copy", *statements)
    said = doctor(tmp_path / "copy")
    assert said.status == 1
    assert set(said.attention) == {"audit log"}
    found = next(each for each in said.report["checks"] if each["name"] == "audit log")
    assert (found["text"], found["details"]) == (
        f"of Acme does not hold, first at entry {first}",
        problems,
    )
    assert "Other" not in said.text, "the other chain is whole"
    assert doctor(tmp_path / "data").status == 0


def test_a_log_that_was_computed_anew_is_named(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    connection = apsw.Connection(str(tmp_path / directory.MAIN))
    connection.execute("DROP TRIGGER audit_logs_keep; DROP TRIGGER audit_logs_stay").fetchall()
    connection.execute(
        "DELETE FROM audit_logs WHERE seq = 1 AND org_id IN"
        " (SELECT org_id FROM audit_heads WHERE seq = 1)"
    ).fetchall()
    connection.execute("DELETE FROM audit_heads WHERE seq = 1").fetchall()
    rewritten(connection)
    connection.close()
    said = doctor(tmp_path)
    findings = [each for each in said.report["checks"] if each["name"] == "audit log"]
    assert [each["text"] for each in findings] == [
        "of Acme does not hold, first at entry 4",
        "an end of a chain is not signed by this instance",
    ]
    assert findings[0]["details"] == [f"entry 4: {SIGNED}"]


def test_entries_that_claim_a_run_without_the_key_are_named(tmp_path: Path, doctor: Ask) -> None:
    """Whoever has the file in hand can add one; what is written with the key then is not signed
    either. Where such a run is noted, that is what is said."""
    treasure = filled(tmp_path)

    async def write(vault: Vault, *, begins: bool = False) -> None:
        db = await open_database(tmp_path, vault)
        if begins:
            await db.write(keyless.begin, now())
        await db.write(note, treasure.org_id)
        await db.close()

    asyncio.run(write(LostVault("the encryption key is missing")))
    asyncio.run(write(Vault(bytes.fromhex((tmp_path / "secret.key").read_text()))))
    said = doctor(tmp_path)
    assert said.attention == ["audit log"]
    assert said.finding("audit log")[1].startswith("2 entries are not signed, as if NetPulse had")
    asyncio.run(write(LostVault("the encryption key is missing"), begins=True))
    said = doctor(tmp_path)
    assert said.attention == ["telling"]
    state, text, _ = said.finding("audit log")
    words = "; nobody vouches for 3 of them, written without the key"
    assert (state, words in text) == ("note", True)


def test_somebody_writes_meanwhile(tmp_path: Path, doctor: Ask) -> None:
    """A file at rest that is written into while it is looked at is looked at once more."""
    treasure = filled(tmp_path)
    asked = 0

    def writes(done: int, total: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            asyncio.run(write())

    async def write() -> None:
        key = bytes.fromhex((tmp_path / "secret.key").read_text())
        db = await open_database(tmp_path, Vault(key))
        await db.write(note, treasure.org_id, 9)
        await db.close()

    loaded = Loaded(Config(storage=Storage(data_dir=str(tmp_path))), Secrets())
    report = doctor_checks.examine(loaded, told=writes)
    assert report.ok, report
    assert [(end.name, end.entries) for end in report.audit_ends] in (
        [("Acme", 5), ("Other", 1)],
        [("Other", 1), ("Acme", 5)],
    )


def test_the_lock_is_only_looked_at(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)
    with DataLock.acquire(tmp_path):
        card = (tmp_path / "netpulse.lock").read_text()
        said = doctor(tmp_path)
        assert said.finding("server") == ("ok", f"it runs (process {os.getpid()})", [])
        assert (tmp_path / "netpulse.lock").read_text() == card


def test_the_instances_own_chain_has_a_name(tmp_path: Path, doctor: Ask) -> None:
    filled(tmp_path)

    async def write() -> None:
        key = bytes.fromhex((tmp_path / "secret.key").read_text())
        db = await open_database(tmp_path, Vault(key))
        await db.write(note, audit.INSTANCE)
        await db.close()

    asyncio.run(write())
    tamper(tmp_path, "UPDATE audit_logs SET action = 'x' WHERE org_id = 'instance'")
    assert doctor(tmp_path).finding("audit log")[1] == (
        "of the instance does not hold, first at entry 1"
    )
