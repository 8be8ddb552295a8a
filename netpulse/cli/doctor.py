"""`netpulse doctor`: looks at everything, changes nothing, and says what needs attention."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from netpulse.cli import settings

if TYPE_CHECKING:
    from netpulse.cli.doctor_checks import Finding, Report

_SHOWN = 20
"""Lines of one finding; --json has all."""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "doctor",
        help="look whether all is well: data, key, stored secrets, audit log",
        description="Look at the data directory, the encryption key, every stored secret, the "
        "database and the audit log, and say what needs attention. Changes nothing; works beside "
        "a running server.",
    )
    settings.add_options(command)
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look. Exit status: 0 all is well, 1 something needs attention."""
    loaded = settings.read(arguments, quiet=True)
    if loaded is None:
        return 1
    from netpulse.cli import doctor_checks
    from netpulse.cli.progress import Steps

    steps = Steps("Reading the audit log")
    report = doctor_checks.examine(loaded, told=steps)
    steps.end()
    if arguments.json:
        _print_json(report)
    else:
        _print(report)
    return 0 if report.ok else 1


def _print_json(report: Report) -> None:
    import msgspec

    body = {"ok": report.ok, **msgspec.to_builtins(report)}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n")


def _print(report: Report) -> None:
    sys.stdout.write(f"NetPulse {report.version} looks at {report.data}\n\n")
    width = max(len(finding.name) for finding in report.checks)
    for finding in report.checks:
        sys.stdout.write(f"{_mark(finding):<10} {finding.name:<{width}}  {finding.text}\n")
        for line in finding.details[:_SHOWN]:
            sys.stdout.write(f"{'':<{width + 13}}{line}\n")
        if len(finding.details) > _SHOWN:
            more = len(finding.details) - _SHOWN
            sys.stdout.write(f"{'':<{width + 13}}and {more:,} more: --json has all\n")
    bad = sum(finding.state == "attention" for finding in report.checks)
    if not bad:
        sys.stdout.write("\nAll is well.\n")
    elif bad == 1:
        sys.stdout.write("\nOne thing needs attention.\n")
    else:
        sys.stdout.write(f"\n{bad} things need attention.\n")


def _mark(finding: Finding) -> str:
    return {"ok": "ok", "note": "note", "attention": "ATTENTION"}[finding.state]
