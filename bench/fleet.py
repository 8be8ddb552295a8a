"""Data directories full of monitors of one type, made by the product's own functions before it
starts, and the far sides that they watch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from bench.measure import EMAIL, PASSWORD, TIED, end, free_port
from netpulse.crypto import keys, passwords
from netpulse.crypto.vault import Vault
from netpulse.model.ids import new_id
from netpulse.model.monitor import TYPES, Monitor
from netpulse.model.time import SECOND
from netpulse.model.user import Actor
from netpulse.storage import directory, monitors
from netpulse.storage.conn import Conn
from netpulse.storage.opening import open_database
from netpulse.web import accounts

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 500
"""Monitors that are written in one transaction."""
KINDS = ("http", "https", "tcp", "dns", "icmp")


@dataclass(frozen=True)
class Far:
    """What answers the checks: where it is, and how its arrivals are read once it has ended."""

    kind: str
    port: int
    ledger: Path
    pem: str = ""
    program: str = "python"
    pid: int = 0
    """Of the process, whose descendants do the work where it has any."""

    def arrivals(self) -> list[tuple[str, float]]:
        """Return (key, Unix seconds) of everything that came."""
        if self.program == "python":
            return [(key, at) for key, at in json.loads(self.ledger.read_text())]
        return [(key, at) for key, _, at, _ in self.visits()]

    def visits(self) -> list[tuple[str, float, float, int]]:
        """Return (key, Unix seconds of the request and of the end of its answer, status) of each
        that came to nginx."""
        lines = (line.split(" ") for line in self.ledger.read_text().splitlines())
        return [
            (key, float(at) - float(took), float(at), int(status))
            for at, key, took, status in lines
        ]


def place(number: int) -> str:
    """Return an address of this host that is one monitor's alone."""
    return f"127.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def key(kind: str, number: int) -> str:
    """Return how the far side tells the monitor apart."""
    if kind in {"tcp", "icmp"}:
        return place(number)
    return f"n{number}.example" if kind == "dns" else f"/{number}"


def _key_of(kind: str, number: int, target: str) -> str:
    return urlsplit(target).path if kind in {"http", "https"} else key(kind, number)


def fields(far: Far, number: int) -> dict[str, Any]:
    """Return what is particular to a monitor of that kind."""
    if far.kind == "http":
        return {"target": f"http://127.0.0.1:{far.port}/{number}"}
    if far.kind == "https":
        return {"target": f"https://localhost:{far.port}/{number}", "ca_certificate": far.pem}
    if far.kind == "tcp":
        return {"target": f"{place(number)}:{far.port}"}
    if far.kind == "icmp":
        return {"target": place(number), "packets": 1}
    # The question goes to a name server of ours, and has one expected answer.
    return {
        "target": key("dns", number),
        "record_type": "A",
        "expected_value": "127.0.0.1",
        "nameserver": f"127.0.0.1:{far.port}",
    }


async def build(
    data: Path,
    far: Far,
    count: int,
    interval: int,
    special: Callable[[Far, int], dict[str, Any]] | None = None,
) -> dict[str, str]:
    """Fill `data` with an organization of `count` monitors; return key -> id.

    `special(far, number)` gives what else is particular to each of them, or instead.
    """
    now = int(time.time() * SECOND)
    directory.prepare(data)
    master = keys.load_master(None, data / directory.KEY, has_data=False)
    hashed = await passwords.hash_password(PASSWORD)
    db = await open_database(data, Vault(master))
    made = TYPES[far.kind]
    ids: dict[str, str] = {}
    try:
        user, org = await db.write(
            accounts.found,
            email=EMAIL,
            password_hash=hashed,
            org_name="Bench",
            actor=Actor(kind="cli", label="netpulse user add"),
            now=now,
            first=True,
        )

        def some(conn: Conn, start: int) -> None:
            for number in range(start, min(count, start + AT_ONCE)):
                usual = {"interval_seconds": interval, "timeout_seconds": 5}
                own = fields(far, number) | (special(far, number) if special else {})
                spec = made(name=f"bench {number}", **(usual | own))
                draft = Monitor(
                    id=new_id(now),
                    key=0,
                    org_id=org.id,
                    spec=spec,
                    created_by=user.id,
                    created_at=now,
                )
                ids[_key_of(far.kind, number, spec.target)] = monitors.insert(conn, draft).id

        for start in range(0, count, AT_ONCE):
            await db.write(some, start)
    finally:
        await db.close()
    return ids


def installed(name: str, place: str) -> str | None:
    """Return a program of the system's packages, installed or only unpacked."""
    unpacked = ROOT / "build" / "debian" / name / place / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def lacking(kind: str) -> str:
    """Return what this machine lacks of what the far side of a kind takes; "" where nothing."""
    if kind == "https" and installed("nginx", "usr/sbin") is None:
        return "nginx"
    if kind == "icmp":
        try:
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
        except PermissionError:
            return "the right to watch pings"
    return ""


@contextlib.contextmanager
def far_side(kind: str, folder: Path, page: bytes | None = None) -> Iterator[Far]:
    """Run the far side of one kind; its arrivals can be read afterwards.

    nginx answers everything with `page`, if there is one, `/slow/` at 96 KiB a second, and `/fail/`
    with an error while there is a file `off` in the folder.
    """
    program = installed("nginx", "usr/sbin") if kind in {"http", "https"} else None
    if program is not None:
        with _nginx(kind, program, folder, page) as far:
            yield far
        return
    if kind == "https" or page is not None:
        raise SystemExit("this is measured against nginx: packaging/system_packages.py bench")
    ledger = folder / f"{kind}.json"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "bench" / "target.py"), str(ledger), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Far(kind, int(process.stdout.readline()), ledger, pid=process.pid)
    finally:
        process.stdin.close()
        process.wait(60)


def _wait_for(port: int) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def _nginx(kind: str, program: str, folder: Path, page: bytes | None) -> Iterator[Far]:
    port, ledger, home = free_port(), folder / f"{kind}.log", folder / f"nginx-{kind}"
    home.mkdir()
    # Its workers need not be root's, and then could not read what is root's.
    user = "user root;" if os.geteuid() == 0 else ""
    places = "".join(
        f"{name}_temp_path {home / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    pem, tls = "", ""
    if kind == "https":
        authority = trustme.CA()
        pem = authority.cert_pem.bytes().decode()
        own = authority.issue_cert("localhost")
        own.cert_chain_pems[0].write_to_path(str(home / "cert.pem"))
        own.private_key_pem.write_to_path(str(home / "key.pem"))
        tls = f"ssl_certificate {home}/cert.pem; ssl_certificate_key {home}/key.pem;"
    answers = 'location / { return 200 "ok\\n"; }'
    if page is not None:
        (home / "page").write_bytes(page)
        answers = f"""
            root {home}; default_type text/html;
            location / {{ try_files /page =404; }}
            location /slow/ {{ limit_rate 96k; try_files /page =404; }}
            location /fail/ {{ if (-f {folder}/off) {{ return 500; }} try_files /page =404; }}
        """
    settings = home / "nginx.conf"
    settings.write_text(f"""
        {user} daemon off; worker_processes 1; pid {home}/pid; error_log {home}/errors;
        worker_rlimit_nofile 65536;
        events {{ worker_connections 16384; }}
        http {{
            {places} keepalive_timeout 0; sendfile on;
            log_format arrival '$msec $request_uri $request_time $status';
            access_log {ledger} arrival buffer=256k;
            server {{
                listen 127.0.0.1:{port} backlog=8192 {"ssl" if kind == "https" else ""}; {tls}
                {answers}
            }}
        }}
    """)
    process = subprocess.Popen(
        [*TIED, program, "-p", str(home), "-c", str(settings), "-e", str(home / "errors")]
    )
    try:
        _wait_for(port)
        yield Far(kind, port, ledger, pem, "nginx", process.pid)
    finally:
        end(process)
