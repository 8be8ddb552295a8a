"""What several commands share: which configuration, which data, and how they refuse."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from netpulse.config import ConfigError, Loaded, load


class Refused(Exception):
    """It cannot be done; the text says why and what to do."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add `--config` and `--data`."""
    command.add_argument(
        "--config", metavar="FILE", type=Path, help="configuration file (TOML); default: none"
    )
    command.add_argument("--data", metavar="DIR", help="data directory (default: ./data)")


def read(arguments: argparse.Namespace, *, quiet: bool = False, **server: Any) -> Loaded | None:
    """Return the configuration in force for `arguments`; None after saying what is wrong with it.

    `server` holds overrides for the [server] section; None values override nothing. `quiet` leaves
    its warnings to the caller.
    """
    overrides: dict[tuple[str, str], Any] = {
        ("server", key): value for key, value in server.items() if value is not None
    }
    if arguments.data is not None:
        overrides["storage", "data_dir"] = arguments.data
    try:
        loaded = load(arguments.config, os.environ, overrides)
    except ConfigError as error:
        complain(str(error))
        return None
    for warning in () if quiet else loaded.warnings:
        complain(f"warning: {warning}")
    return loaded


def complain(message: str) -> None:
    """Print one line about trouble to standard error."""
    sys.stderr.write(f"netpulse: {message}\n")
