"""The command line. Each command is one module with `register` and `run`; what a command needs is
imported when it runs, so that `version` and `check` start fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from netpulse.cli import (
    backup,
    check,
    config,
    doctor,
    frozen,
    key,
    restore,
    serve,
    streams,
    user,
    version,
)

COMMANDS = (serve, check, user, key, backup, restore, doctor, config, version)
"""In the order of `--help`."""

USAGE_ERROR = 3
"""What monitoring plugins return for a usage error: unknown."""


class Parser(argparse.ArgumentParser):
    """argparse, with the exit status that monitoring plugins have for a usage error."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it never returns either
        """Print what is wrong and how to get help, and exit with `USAGE_ERROR`."""
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="netpulse",
        description="A self-hosted uptime monitor in one process.",
        epilog="Start with: netpulse serve",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    streams.complete()
    frozen.settle()
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`netpulse user list | head`): not our error.
        sys.stderr.close()
        return 141
    return status
