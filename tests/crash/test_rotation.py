"""kill -9 while the master key is being changed: every secret opens, and run again it ends.

The moments are all those at which the work goes from one function to another, the file operations
and the middles of transactions among them; a seed chooses some, NETPULSE_KILLS how many.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import Vault
from netpulse.storage import audit, audit_chains, directory, rotation
from netpulse.storage.conn import Conn
from netpulse.storage.opening import open_database
from tests.instance import SOURCE
from tests.integration.test_rotation import assert_only, made, opened, rotated
from tests.treasure import Treasure, add_channel, assert_opens

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("NETPULSE_KILLS", "24"))
SEED = int(os.environ.get("NETPULSE_SEED", "1"))


def child(data: Path, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.rotation_child", str(data), str(moment)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )


def state(conn: Conn) -> bool:
    return rotation.record(conn) is not None


async def survives(data: Path, treasure: Treasure, old: bytes) -> str:
    """Look at what a kill has left, go on as a server and as the command would, and return in which
    state it was."""
    masters = Masters(None, data / directory.KEY)
    keys = masters.load(has_data=True)
    db = await opened(data, masters)
    half = await db.read(state)
    await db.read(assert_opens, treasure)
    # A server that runs on writes secrets too.
    meanwhile = await db.write(add_channel, treasure.org_id, 900)
    await db.close()
    urls = treasure.urls | {meanwhile.id: "https://hooks.example/secret-900"}
    after = Treasure(
        treasure.org_id,
        treasure.passwords,
        treasure.tokens,
        urls,
        treasure.totp,
        treasure.letters,
        treasure.addresses,
        treasure.kept,
        treasure.digests,
    )
    done = len(keys) == 1 and keys[0] != old
    if not done:
        await rotated(data, masters)
    (new,) = masters.load(has_data=True)
    assert new != old
    assert not list(data.glob("secret.key?*")), "nothing is left lying about"
    await assert_only(data, new, after)
    db = await open_database(data, Vault(new))
    rows = (await db.read(audit.page, audit.INSTANCE, limit=100)).rows
    assert [row.action for row in rows] == ["key.rotated", "key.rotation_started"]
    assert await db.read(audit_chains.verify, audit.INSTANCE) == []
    assert await db.read(audit_chains.verify_roll) is None
    await db.close()
    return "done" if done else "half" if half else "two keys" if len(keys) == 2 else "untouched"


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * KILLS)
async def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Between two functions, whichever."""
    masters, treasure = await made(tmp_path / "made")
    (old,) = masters.load(has_data=True)

    def copied(name: str) -> Path:
        data = tmp_path / name
        shutil.copytree(tmp_path / "made", data)
        data.chmod(0o700)
        return data

    whole = await asyncio.to_thread(child, copied("whole"), 0)
    assert whole.returncode == 0, whole.stderr
    moments = int(whole.stdout)
    assert moments > 200
    chance = random.Random(SEED)
    step = moments / KILLS
    states = set()
    for number in range(KILLS):
        moment = 1 + min(moments - 1, int(step * (number + chance.random())))
        data = copied(f"killed-{moment}")
        killed = await asyncio.to_thread(child, data, moment)
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)
        states.add(await survives(data, treasure, old))
        shutil.rmtree(data)
    assert states >= {"untouched", "half"}, "the kills came everywhere"


def command(data: Path, seconds: float) -> int:
    """Run the command, kill it after so many seconds, and return how it ended."""
    with subprocess.Popen(
        [*SOURCE, "key", "rotate", "--data", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    ) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@pytest.mark.slow
async def test_killed_again_and_again_by_the_clock(tmp_path: Path) -> None:
    """The command itself, with enough to do that it is caught in the middle."""
    data = tmp_path / "data"
    masters, treasure = await made(data, each=400)
    (old,) = masters.load(has_data=True)
    began = time.monotonic()
    assert await asyncio.to_thread(command, data, 60) == 0
    whole = time.monotonic() - began
    # The first may have been a slow one: each that ends before its kill says how long one takes.
    chance = random.Random(SEED)
    killed = 0
    for _ in range(8):
        seconds = whole * chance.uniform(0.5, 1)
        status = await asyncio.to_thread(command, data, seconds)
        if status == -signal.SIGKILL:
            killed += 1
        else:
            assert status == 0
            whole = seconds
        db = await opened(data, masters)
        await db.read(assert_opens, treasure)
        await db.close()
    assert killed
    await rotated(data, masters)
    keys = masters.load(has_data=True)
    assert old not in keys
    assert len(keys) == 1
    await assert_only(data, keys[0], treasure)
