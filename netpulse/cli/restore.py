"""`netpulse restore`: put a backup in the place of the data; what was there is kept."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netpulse.cli import settings

if TYPE_CHECKING:
    from netpulse.config import Loaded


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("restore", help="put a backup in the place of the data")
    command.add_argument("file", metavar="FILE", type=Path, help="a file that `backup` made")
    command.add_argument(
        "--yes", action="store_true", help="do not ask (for scripts; what was there is kept)"
    )
    command.add_argument(
        "--key-file",
        metavar="FILE",
        type=Path,
        help="the encryption key of the time of the backup, where it was changed since",
    )
    settings.add_options(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Restore a backup. Exit status: 0 restored, 1 refused (one line says why)."""
    loaded = settings.read(arguments)
    if loaded is None:
        return 1
    from netpulse.crypto.keys import KeyTrouble
    from netpulse.storage.archive import BackupRefused
    from netpulse.storage.errors import StartRefused, StorageTrouble

    try:
        return asyncio.run(_restore(arguments, loaded))
    except (BackupRefused, KeyTrouble, StartRefused, StorageTrouble) as refusal:
        settings.complain(str(refusal))
        return 1
    except OSError as error:
        settings.complain(f"cannot exchange the data: {error.strerror} ({error.filename})")
        return 1


async def _restore(arguments: argparse.Namespace, loaded: Loaded) -> int:
    from netpulse.cli.progress import Progress
    from netpulse.crypto.keys import Masters
    from netpulse.crypto.vault import Vault
    from netpulse.engine.clock import Clock
    from netpulse.model.user import Actor
    from netpulse.storage import directory, restore, restored
    from netpulse.storage.archive import Unpacker
    from netpulse.storage.lock import ROTATION, DataLock
    from netpulse.storage.opening import open_database

    data = Path(loaded.config.storage.data_dir)
    with Unpacker(arguments.file) as archive:
        manifest = archive.manifest
    if not _agreed(arguments, data, manifest.made_at, directory.has_data(data)):
        settings.complain("nothing was changed")
        return 1
    directory.prepare(data)
    # Nobody may change the key of what is being exchanged.
    with DataLock.acquire(data), DataLock.acquire(data, ROTATION):
        restore.finish(data)
        progress = Progress("Unpacking", manifest.size)
        try:
            manifest, stage = restore.unpack(data, arguments.file, progress)
            progress.end()
            # A key that came along belongs to the data; the environment's wins over both.
            its_own = stage / directory.KEY
            if arguments.key_file is not None:
                restore.lay_key(arguments.key_file, its_own)
            key = its_own if its_own.exists() else data / directory.KEY
            masters = Masters(loaded.secrets.encryption_key or None, key)
            now = Clock().now()
            vault = Vault.of(masters, has_data=True)
            restore.refuse_wrong_key(stage, arguments.file, vault)
            db = await open_database(stage, vault)
            try:
                actor = Actor(kind="cli", label="restore")
                returned = await db.write(restored.settle, manifest, actor, now)
            finally:
                await db.close()
        except BaseException:
            progress.end()
            restore.finish(data)
            raise
        had_data = directory.has_data(data)
        kept = restore.exchange(data, stage, now)
    sys.stdout.write(
        f"Restored what was backed up at {manifest.made_at} by NetPulse {manifest.version}. "
        "Everybody has to sign in anew.\n"
        f"API keys: {returned.api_keys:,}, people: {returned.people:,}, grants in clients: "
        f"{returned.grants:,}; all may do again what they might at the time of the backup. Revoke "
        "again what was revoked since. Invitations and links to a new password have ended.\n"
    )
    if had_data:
        sys.stdout.write(f"What was there before is in {kept}; remove it when you are sure.\n")
    else:
        kept.rmdir()
    return 0


def _agreed(arguments: argparse.Namespace, data: Path, made_at: str, has_data: bool) -> bool:
    """Ask once before data makes room for a backup; there is nothing to ask without data."""
    if arguments.yes or not has_data:
        return True
    if not sys.stdin.isatty():
        settings.complain(f"{data} holds data: add --yes to put the backup of {made_at} there")
        return False
    sys.stdout.write(
        f"The data in {data} makes room for the backup of {made_at}; it is kept beside it.\n"
    )
    return input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
