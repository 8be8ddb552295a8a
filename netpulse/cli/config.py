"""`netpulse config check`: would this configuration start?"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from netpulse.cli import settings
from netpulse.config import HIDDEN, Config


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("config", help="look at the configuration")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="read it as serve would, and print what is in force")
    settings.add_options(check)
    check.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every setting in force as TOML; exit 1 with one line when it cannot be used."""
    loaded = settings.read(arguments)
    if loaded is None:
        return 1
    if loaded.config.server.tls_certificate and not _has_certificate(loaded.config):
        return 1
    lines = []
    for section, values in msgspec.to_builtins(loaded.config).items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            if value and (section, key) in HIDDEN:
                lines.append(f"# {key} is set, and not shown")
                continue
            # JSON's strings, numbers and lists of strings are TOML's too.
            lines.append(f"{key} = {msgspec.json.encode(value).decode()}")
        lines.append("")
    sys.stdout.write("\n".join(lines))
    sys.stdout.write("# usable\n")
    return 0


def _has_certificate(config: Config) -> bool:
    """Tell whether the certificate can be served; what is wrong with it is said."""
    import time

    from netpulse.web.certificate import Unusable, date_problem
    from netpulse.web.tls import Tls

    try:
        ours = Tls.of(config.server)
    except Unusable as refusal:
        settings.complain(str(refusal))
        return False
    problem = None if ours is None else date_problem(ours.pair, time.time_ns() // 1_000_000)
    if problem is not None:
        settings.complain(f"warning: {problem}")
    return True
