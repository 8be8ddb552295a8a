"""`netpulse backup`: everything in one file, beside a running `serve`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from netpulse.cli import settings


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("backup", help="write everything into one file")
    command.add_argument("file", metavar="FILE", type=Path, help="the new file, such as np.zip")
    command.add_argument(
        "--with-key",
        action="store_true",
        help="put the encryption key in too: whoever has the file can then read every secret",
    )
    settings.add_options(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a backup. Exit status: 0 made, 1 refused (one line says why)."""
    loaded = settings.read(arguments)
    if loaded is None:
        return 1
    from netpulse import __version__
    from netpulse.cli.progress import Progress
    from netpulse.engine.clock import Clock
    from netpulse.storage import backup
    from netpulse.storage.archive import BackupRefused

    data = Path(loaded.config.storage.data_dir)
    progress = Progress("Backing up", backup.size_of(data) if data.is_dir() else 0)
    try:
        made = backup.make(
            data,
            arguments.file.absolute(),
            version=__version__,
            now=Clock().now(),
            with_key=arguments.with_key,
            progress=progress,
        )
    except BackupRefused as refusal:
        progress.end()
        settings.complain(str(refusal))
        return 1
    progress.end()
    for line in made.skipped:
        settings.complain(f"left out, because it is damaged: {line}")
    count = len(made.manifest.files)
    sys.stdout.write(f"{arguments.file}: {count} files, {made.size / 1e6:.1f} MB\n")
    if not arguments.with_key:
        sys.stdout.write(
            "The encryption key is not in it: keep secret.key of the data directory (or "
            "ENCRYPTION_KEY) somewhere else, for without it no secret in here can be read.\n"
        )
    return 0
