"""`netpulse version`: which NetPulse this is."""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any

from netpulse import __version__


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("version", help="print the version and what it runs on")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one line: version, Python, platform."""
    sys.stdout.write(
        f"netpulse {__version__} (Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()})\n"
    )
    return 0
