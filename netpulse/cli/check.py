"""`netpulse check`: one probe from here, its verdict in words, and how long each phase took.

The exit status is that of monitoring plugins: 0 up, 1 degraded, 2 down, 3 inconclusive, or a
usage or internal error.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netpulse.model.check import Reading, Verdict
    from netpulse.model.monitor import MonitorSpec

UNKNOWN = 3

# What each option is called in a spec; an option that does not fit the type is refused.
_HTTP: dict[str, str] = {
    "method": "method",
    "header": "headers",
    "body": "body",
    "expect_status": "expected_status",
    "body_match": "body_match",
    "body_not_match": "body_not_match",
    "regex": "body_regex",
    "json_path": "json_path",
    "json_value": "json_value",
    "no_redirects": "follow_redirects",
    "max_redirects": "max_redirects",
    "insecure": "verify_tls",
    "cacert": "ca_certificate",
    "cert": "client_certificate",
    "key": "client_key",
    "user": "auth",
    "bearer": "auth",
    "ip_version": "ip_version",
    "alert_days": "alert_days_before_expiry",
}
_TCP: dict[str, str] = {"send": "send", "expect": "expect", "tls": "tls"}
_SSL: dict[str, str] = {
    "server_name": "server_name",
    "no_chain": "check_chain",
    "cacert": "ca_certificate",
    "alert_days": "alert_days_before_expiry",
}
_ICMP: dict[str, str] = {
    "packets": "packets",
    "max_loss": "max_loss_percent",
    "degraded_loss": "degraded_loss_percent",
}
_DNS: dict[str, str] = {
    "record_type": "record_type",
    "expected_value": "expected_value",
    "match": "match",
}
_OPTIONS: dict[str, dict[str, str]] = {
    "http": _HTTP,
    "https": _HTTP,
    "tcp": _TCP,
    "ssl": _SSL,
    "icmp": _ICMP,
    "dns": _DNS,
}
"""By type: what is known of each option."""
_HOSTS = frozenset(_OPTIONS) - {"http", "https"}
"""Types whose target is a host, not a URL."""
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class _UsageError(Exception):
    """What was asked cannot be done; the message says why."""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "check",
        help="check one target now",
        description="Check one target now and say what came out.",
        epilog="Exit status: 0 up, 1 degraded, 2 down, 3 inconclusive or a mistake in the command.",
    )
    command.add_argument(
        "target", metavar="TARGET", help="a URL, or host:port; a host alone is taken for http://"
    )
    command.add_argument("--type", choices=tuple(_OPTIONS), help="default: by the target")
    command.add_argument("--json", action="store_true", help="print the check as JSON")
    command.add_argument(
        "--timeout", type=int, default=10, metavar="SECONDS", help="for everything (default: 10)"
    )
    command.add_argument(
        "--degraded-after", type=int, metavar="MS", help="slower than this is degraded"
    )
    command.add_argument("--invert", action="store_true", help="up when it does not answer")
    command.add_argument(
        "--nameserver", metavar="ADDRESS[:PORT]", help="ask this name server, not the system's"
    )
    _add_http(command.add_argument_group("http and https"))
    tcp = command.add_argument_group("tcp")
    tcp.add_argument("--send", metavar="TEXT", help=r"send this first; \r \n \t \\ are understood")
    tcp.add_argument("--expect", metavar="TEXT", help="text the answer must contain")
    tcp.add_argument("--tls", action="store_true", help="agree on TLS first")
    tls = command.add_argument_group("ssl (and --cacert, --alert-days)")
    tls.add_argument(
        "--server-name", metavar="HOST", help="ask for this host, and expect a certificate for it"
    )
    tls.add_argument(
        "--no-chain", action="store_true", help="accept an issuer that is not trusted here"
    )
    _add_icmp_and_dns(command)
    command.set_defaults(run=run)


def _add_icmp_and_dns(command: Any) -> None:
    icmp = command.add_argument_group("icmp")
    icmp.add_argument("--packets", type=int, metavar="N", help="1 to 20 pings (default: 3)")
    icmp.add_argument(
        "--max-loss", type=int, metavar="PERCENT", help="down when as many are lost (default: 100)"
    )
    icmp.add_argument(
        "--degraded-loss", type=int, metavar="PERCENT", help="degraded at this (default: 50)"
    )
    dns = command.add_argument_group("dns (and --nameserver)")
    dns.add_argument(
        "--record-type",
        type=str.upper,
        choices=("A", "AAAA", "MX", "CNAME", "TXT", "NS", "SOA", "SRV", "CAA", "PTR"),
        metavar="TYPE",
        help="A, AAAA, MX, CNAME, TXT, NS, SOA, SRV, CAA or PTR (default: A)",
    )
    dns.add_argument(
        "--expected-value",
        action="append",
        metavar="VALUE",
        help="a record of the answer; can be given repeatedly",
    )
    dns.add_argument(
        "--match",
        choices=("all", "any"),
        help="all: the answer is these records and no others (default); any: one of them is in it",
    )


def _add_http(group: Any) -> None:
    group.add_argument("-X", "--method", metavar="METHOD", help="default: GET")
    group.add_argument(
        "-H", "--header", action="append", metavar='"NAME: VALUE"', help="can be given repeatedly"
    )
    group.add_argument("--body", metavar="TEXT", help="what to send")
    group.add_argument(
        "--expect-status", metavar="LIST", help="such as 200, 200-299 or 200,301-303"
    )
    group.add_argument("--body-match", metavar="TEXT", help="the body must contain this")
    group.add_argument("--body-not-match", metavar="TEXT", help="the body must not contain this")
    group.add_argument("--regex", metavar="RE2", help="the body must match this")
    group.add_argument("--json-path", metavar="PATH", help="the body must have this (RFC 9535)")
    group.add_argument("--json-value", metavar="JSON", help="and there this value")
    group.add_argument("--no-redirects", action="store_true", help="judge a redirect itself")
    group.add_argument("--max-redirects", type=int, metavar="N", help="0 to 20 (default: 10)")
    group.add_argument("--insecure", action="store_true", help="accept any certificate")
    group.add_argument("--cacert", metavar="FILE", help="trust these certificates (PEM) too")
    group.add_argument("--cert", metavar="FILE", help="client certificate (PEM)")
    group.add_argument("--key", metavar="FILE", help="and its key (PEM)")
    group.add_argument("--user", metavar="NAME:PASSWORD", help="HTTP Basic")
    group.add_argument("--bearer", metavar="TOKEN", help="bearer token")
    family = group.add_mutually_exclusive_group()
    family.add_argument("-4", dest="ip_version", action="store_const", const=4, help="IPv4 only")
    family.add_argument("-6", dest="ip_version", action="store_const", const=6, help="IPv6 only")
    group.add_argument(
        "--alert-days", type=int, metavar="DAYS", help="degraded when the certificate ends sooner"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check once, print what came out and return the exit status."""
    try:
        spec = _spec(arguments)
        # The name server of a dns check is part of what is checked.
        is_dns = spec.__struct_config__.tag == "dns"
        nameserver = None if is_dns else _nameserver(arguments.nameserver)
        reading, verdict, started_at = asyncio.run(_probed(spec, nameserver))
    except _UsageError as error:
        sys.stderr.write(f"netpulse check: {error}\n")
        return UNKNOWN
    except Exception as error:  # noqa: BLE001  # any other exit status would be a verdict
        sys.stderr.write(f"netpulse check: internal error: {type(error).__name__}: {error}\n")
        return UNKNOWN
    from netpulse.cli.checked import as_json, in_words

    if arguments.json:
        sys.stdout.write(as_json(spec, reading, verdict, started_at))
    else:
        sys.stdout.write(in_words(spec, reading, verdict, started_at))
    return {"up": 0, "degraded": 1, "down": 2}.get(verdict.result.value, UNKNOWN)


async def _probed(spec: MonitorSpec, nameserver: str | None) -> tuple[Reading, Verdict, int]:
    """Return what was measured, what it means, and when it began (Unix milliseconds)."""
    from netpulse.egress.connect import Egress
    from netpulse.model.monitor import type_of
    from netpulse.probes import PROBES
    from netpulse.rules.verdict import judge

    egress = Egress(nameservers=(nameserver,) if nameserver else ())
    try:
        started_at = int(time.time() * 1000)
        deadline = asyncio.get_running_loop().time() + spec.timeout_seconds
        reading = await PROBES[type_of(spec)](spec, deadline, egress)
        verdict = judge(spec, reading, now=int(time.time() * 1000))
    finally:
        await egress.close()
    return reading, verdict, started_at


def _spec(arguments: argparse.Namespace) -> MonitorSpec:
    """Return the spec that the options describe.

    Raises:
        _UsageError: they describe none.
    """
    import msgspec

    from netpulse.model.monitor import TYPES
    from netpulse.rules.monitors import normalised, problems
    from netpulse.wording import in_words

    kind, target = _kind(arguments)
    fields: dict[str, Any] = {
        "type": kind,
        "name": "check",
        "target": target,
        "timeout_seconds": arguments.timeout,
        "interval_seconds": min(86_400, max(60, arguments.timeout)),
        "degraded_after_ms": arguments.degraded_after,
        "invert": arguments.invert,
    }
    if kind == "dns" and arguments.nameserver:
        fields["nameserver"] = arguments.nameserver
    known = _OPTIONS[kind]
    for option in {name: None for names in _OPTIONS.values() for name in names}:
        value = getattr(arguments, option)
        if value is None or value is False:
            continue
        if option not in known:
            raise _UsageError(f"--{option.replace('_', '-')} is not for {kind} checks")
        if known[option] in fields:
            raise _UsageError("--user and --bearer: give one")
        fields[known[option]] = _read(option, value)
    try:
        spec = normalised(msgspec.convert(fields, TYPES[kind]))
    except msgspec.ValidationError as error:
        text, at, path = str(error).partition(" - at `$")
        raise _UsageError(_where(in_words(text) + at + path)) from None
    found = problems(spec)
    if found:
        raise _UsageError("; ".join(_where(f"{each.message} - at `{each.path}`") for each in found))
    return spec


def _nameserver(text: str | None) -> str | None:
    """Return "address:port" for what --nameserver says."""
    import ipaddress

    from netpulse.rules.targets import TargetError, endpoint

    if text is None:
        return None
    try:
        has_port = "]:" in text or text.count(":") == 1
        where = endpoint(text, None if has_port else 53)
        ipaddress.ip_address(where.host)
    except (TargetError, ValueError):
        raise _UsageError(f"--nameserver {text}: write an address, or address:port") from None
    return str(where)


def _kind(arguments: argparse.Namespace) -> tuple[str, str]:
    target: str = arguments.target
    if arguments.type in _HOSTS:
        return arguments.type, target
    if "://" in target:
        return arguments.type or "http", target
    if arguments.type is None and re.fullmatch(r"(?:\[[^\]]*\]|[^/:\[\]]+):\d+", target):
        return "tcp", target
    return arguments.type or "http", f"{arguments.type or 'http'}://{target}"


def _read(option: str, value: Any) -> Any:
    """Return an option's value as the spec has it."""
    import msgspec

    if option in {"no_redirects", "insecure", "no_chain"}:
        return False
    if option in {"cacert", "cert", "key"}:
        try:
            return Path(value).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _UsageError(f"--{option} {value}: {error}") from None
    if option == "header":
        return dict(_header(line) for line in value)
    if option == "expect_status":
        words = [word.strip() for word in value.split(",")]
        return [int(word) if word.isdigit() else word for word in words]
    if option == "json_value":
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise _UsageError(
                f"--json-value {value} is not JSON; a text needs quotes: '\"{value}\"'"
            ) from None
    if option == "user":
        name, _, password = value.partition(":")
        return {"type": "basic", "username": name, "password": password}
    if option == "bearer":
        return {"type": "bearer", "token": value}
    if option in {"send", "expect"}:
        return re.sub(r"\\([rnt0\\])", lambda found: _ESCAPES[found[1]], value)
    return value


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise _UsageError(f'--header {line}: write "Name: value"')
    return name.strip(), value.strip()


def _where(message: str) -> str:
    """Turn a message that ends with the path of a field into one that begins with the option."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    names = {spec: option for each in _OPTIONS.values() for option, spec in each.items()}
    names |= {"timeout_seconds": "timeout", "degraded_after_ms": "degraded_after", "port": "target"}
    head, dot, rest = field.partition(".")
    option = names.get(head.partition("[")[0], head)
    if option in {"", "target"}:
        return f"{option or 'check'}: {text}"
    return f"--{option.replace('_', '-')}{dot and f' {rest}'}: {text}"
