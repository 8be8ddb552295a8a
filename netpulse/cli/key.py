"""`netpulse key rotate`: another encryption key, also while `serve` runs; goes on after a crash."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from netpulse.cli import settings

if TYPE_CHECKING:
    from pathlib import Path

    from netpulse.config import Loaded
    from netpulse.crypto.keys import Masters
    from netpulse.storage.db import Database
    from netpulse.storage.rotation import Outcome
    from netpulse.storage.sealed import Broken

_SHOWN = 20


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("key", help="change the encryption key")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    rotate = actions.add_parser(
        "rotate",
        help="make a new key, and encrypt every stored secret with it anew",
        description="Make a new encryption key and encrypt every stored secret with it anew. Works "
        "while serve runs. Interrupted at any moment, it goes on when it is run again. A key from "
        "the environment (ENCRYPTION_KEY) needs the new one as NETPULSE_NEW_ENCRYPTION_KEY, and "
        "the server stopped.",
    )
    rotate.add_argument(
        "--leave-damaged",
        action="store_true",
        help="give up stored secrets that do not open any more, instead of stopping there",
    )
    settings.add_options(rotate)
    rotate.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Change the key. Exit status: 0 done, 1 refused (one line says why)."""
    loaded = settings.read(arguments)
    if loaded is None:
        return 1
    from netpulse.crypto.keys import KeyTrouble
    from netpulse.crypto.vault import SealBroken
    from netpulse.storage.errors import StartRefused, StorageTrouble
    from netpulse.storage.rotation import Damaged, Refused

    try:
        return asyncio.run(_rotate(loaded, leave_damaged=arguments.leave_damaged))
    except Damaged as damaged:
        settings.complain(
            f"{len(damaged.values):,} of the stored secrets cannot be opened, and would be lost "
            "with the old key; mend what is named here, or give it up with --leave-damaged"
        )
        _name(damaged.values)
        return 1
    except (Refused, KeyTrouble, SealBroken, StartRefused, StorageTrouble) as refusal:
        settings.complain(str(refusal))
        return 1


async def _rotate(loaded: Loaded, *, leave_damaged: bool) -> int:
    from pathlib import Path

    from netpulse.cli.progress import Steps
    from netpulse.crypto.keys import Masters
    from netpulse.crypto.vault import Vault
    from netpulse.engine.clock import Clock
    from netpulse.model.user import Actor
    from netpulse.storage import directory, restore, rotation
    from netpulse.storage.lock import ROTATION, DataLock
    from netpulse.storage.opening import open_database

    data = Path(loaded.config.storage.data_dir)
    if not directory.has_data(data):
        raise rotation.Refused(
            f"there is no NetPulse data in {data}; start `netpulse serve` once, "
            "or name another --data"
        )
    masters = Masters(loaded.secrets.encryption_key or None, data / directory.KEY)
    text = loaded.secrets.new_encryption_key
    given = bytes.fromhex(text) if text else None
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(DataLock.acquire(data, ROTATION))
        if restore.is_under_way(data):
            raise rotation.Refused(
                "a restore was interrupted: start NetPulse once, which finishes it, and then run "
                "this again"
            )
        if masters.from_environment:
            stack.enter_context(_alone(data))
        known = masters.load(has_data=True)
        if given is not None and masters.from_environment:
            known = (*known, given)
        db = await open_database(data, Vault(*known, again=masters.again))
        stack.push_async_callback(db.close)
        if not masters.from_environment:
            await _refuse_beside_environment(db, data)
        steps = Steps("Encrypting anew")
        outcome = await rotation.rotate(
            db,
            masters,
            given=given,
            actor=Actor(kind="cli", label="key rotate"),
            now=Clock().now,
            leave_damaged=leave_damaged,
            told=lambda now: steps(now.done, now.total),
        )
        steps.end()
    _tell(outcome, masters, data)
    return 0


def _alone(data: Path) -> Any:
    """Hold the data against a server: it could not learn of the new key."""
    from netpulse.storage.errors import StartRefused
    from netpulse.storage.lock import DataLock, other_holder
    from netpulse.storage.rotation import Refused

    try:
        return DataLock.acquire(data)
    except StartRefused:
        holder = other_holder(data)
        if holder is None:
            raise
        raise Refused(
            f"the key comes from the environment, and the running NetPulse ({holder}) cannot be "
            "given another one: stop it, run this again, and start it with ENCRYPTION_KEY set to "
            "the new key"
        ) from None


async def _refuse_beside_environment(db: Database, data: Path) -> None:
    """Refuse to change the key file beside a server that does not read it."""
    from netpulse.storage import rotation
    from netpulse.storage.lock import other_holder

    holder = other_holder(data)
    if holder is not None and await db.read(rotation.server_has_environment_key):
        raise rotation.Refused(
            f"the running NetPulse ({holder}) has its key from the environment: stop it, and run "
            "this with ENCRYPTION_KEY as it has it and NETPULSE_NEW_ENCRYPTION_KEY"
        )


def _tell(outcome: Outcome, masters: Masters, data: Path) -> None:
    """Say what was done, and what there is to do."""
    say = sys.stdout.write
    if not outcome.is_new and not outcome.resumed:
        say("Nothing to do: the new key is the one in force already.\n")
        return
    if outcome.resumed:
        say("The change of the key that had been interrupted is finished.\n")
    say(f"Encrypted with the new key: {_values(outcome.values)}.\n")
    if outcome.damaged:
        say(f"Given up, since they could not be opened: {_values(len(outcome.damaged))}.\n")
        _name(outcome.damaged)
    if masters.from_environment:
        say("From now on start NetPulse with ENCRYPTION_KEY set to the new key.\n")
    else:
        say(f"The new key is in {masters.path}; keep a copy of it, but not in the same backup.\n")
        say("The old key is gone from here.\n")
    say("Backups from before open only with the old key: keep it with them, or make a new one.\n")
    for copy in sorted((*data.glob("netpulse.db.v*"), *data.glob("before-restore-*"))):
        say(f"{copy} is from before, and still encrypted with an old key: delete it.\n")


def _values(count: int) -> str:
    return "1 stored secret" if count == 1 else f"{count:,} stored secrets"


def _name(values: list[Broken] | tuple[Broken, ...]) -> None:
    for broken in values[:_SHOWN]:
        sys.stderr.write(f"  {broken.words}: {broken.column.then}\n")
    if len(values) > _SHOWN:
        sys.stderr.write(f"  and {len(values) - _SHOWN:,} more\n")
