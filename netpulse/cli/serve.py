"""`netpulse serve`: watch, and answer on a web page."""

from __future__ import annotations

import argparse
from typing import Any

from netpulse.cli import settings


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("serve", help="start NetPulse")
    settings.add_options(command)
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to listen on (default: 8080)")
    command.add_argument(
        "--degraded",
        action="store_true",
        help="start although the encryption key is missing or another one: watch, and tell nobody "
        "until NetPulse is started with the right key",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop. Exit status: 0 stopped on request, 1 refused to start."""
    loaded = settings.read(arguments, host=arguments.host, port=arguments.port)
    if loaded is None:
        return 1
    if loaded.secrets.new_encryption_key:
        settings.complain(
            "warning: NETPULSE_NEW_ENCRYPTION_KEY is for `netpulse key rotate` alone and is ignored"
        )
    from netpulse.app import serve

    return serve(loaded, degraded=arguments.degraded)
