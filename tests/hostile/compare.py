"""What curl, dig, ping and the Prometheus blackbox exporter make of our hostile host.

    python -m tests.hostile.compare [WORD]

Prints the rows (those with WORD in their name or type) on which one of them decides otherwise and
the table has no note, and those whose note is not needed any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.hostile.rows import Place, Row
from tests.hostile.table import ROWS
from tests.servers import free_port

EXPORTER = "prometheus-blackbox-exporter"


def _module(row: Row, folder: Path, name: str = "") -> dict[str, Any] | None:
    """Return the exporter's module that comes nearest to the row's monitor, or None.

    `name` is what a name server is asked for.
    """
    timeout = f"{row.fields.get('timeout_seconds', 5)}s"
    if row.kind == "tcp":
        if row.fields.get("invert"):
            return None
        steps = []
        if "send" in row.fields:
            steps.append({"send": row.fields["send"].strip()})
        if "expect" in row.fields:
            steps.append({"expect": row.fields["expect"]})
        tcp = {"query_response": steps, "tls": bool(row.fields.get("tls"))}
        return {"prober": "tcp", "timeout": timeout, "tcp": tcp}
    if row.kind == "dns":
        if "expected_value" in row.fields or "nameserver" in row.fields:
            return None
        question = {
            "query_name": name,
            "query_type": row.fields.get("record_type", "A"),
            "preferred_ip_protocol": "ip4",
        }
        return {"prober": "dns", "timeout": timeout, "dns": question}
    if row.kind == "icmp":
        if row.fields.get("invert"):
            return None
        return {"prober": "icmp", "timeout": timeout}
    tls: dict[str, Any] = {}
    if "ca_certificate" in row.fields:
        tls["ca_file"] = str(_file(folder, row))
    if row.fields.get("verify_tls") is False:
        tls["insecure_skip_verify"] = True
    http = {"tls_config": tls, "preferred_ip_protocol": "ip4"}
    return {"prober": "http", "timeout": timeout, "http": http}


def _file(folder: Path, row: Row) -> Path:
    place = folder / f"{abs(hash(row.name))}.pem"
    place.write_text(str(row.fields["ca_certificate"]))
    return place


@contextlib.asynccontextmanager
async def exporter(module: dict[str, Any], folder: Path) -> AsyncIterator[str | None]:
    """Run the exporter with one module, in the network this thread is in; gives its address."""
    program = shutil.which(EXPORTER)
    if program is None:
        yield None
        return
    config = folder / "modules.json"
    config.write_text(json.dumps({"modules": {"row": module}}))
    port = free_port()
    running = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    for _ in range(100):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        await running.wait()


async def _said(*words: str) -> tuple[int | None, str]:
    """Run a program; returns its exit status and what it printed."""
    running = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await running.communicate()
    return running.returncode, out.decode("utf-8", "replace")


async def by_dig(row: Row, place: Place) -> str | None:
    """Return up or down as somebody reads dig's answer: records of that type, or none."""
    server = place.fields.get("nameserver")
    if row.kind != "dns" or server is None or "expected_value" in row.fields:
        return None
    if shutil.which("dig") is None:
        return None
    address, _, port = server.rpartition(":")
    kind = row.fields.get("record_type", "A")
    seconds = str(row.fields.get("timeout_seconds", 2))
    status, out = await _said(
        *("dig", f"@{address}", "-p", port, f"+time={seconds}", "+tries=1"),
        *("+noall", "+comments", "+answer", place.target, kind),
    )
    found = any(f"\tIN\t{kind}\t" in line for line in out.splitlines())
    up = status == 0 and "status: NOERROR" in out and found
    return "up" if up else f"down ({status} {' '.join(out.split())[:300]})"


async def by_ping(row: Row, place: Place) -> str | None:
    """Return up or down by ping's exit status: whether anything came back."""
    if row.kind != "icmp" or row.fields.get("invert") or shutil.which("ping") is None:
        return None
    if row.verdict not in {"up", "down"}:
        return None
    words = ("-n", "-q", "-i", "0.2", "-W", "1", "-c", str(row.fields["packets"]))
    status, out = await _said("ping", *words, place.target)
    return "up" if status == 0 else f"down ({status} {' '.join(out.split())[:200]})"


async def by_curl(row: Row, target: str, folder: Path) -> str | None:
    """Return up or down as curl has it, or None where it has no such check."""
    if row.kind in {"tcp", "dns", "icmp"} or row.verdict == "degraded" or not shutil.which("curl"):
        return None
    words = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{errormsg}",
        "-L",
        "--compressed",
    ]
    words += ["--max-redirs", "10", "--max-time", str(row.fields.get("timeout_seconds", 2)), "-4"]
    if "ca_certificate" in row.fields:
        words += ["--cacert", str(_file(folder, row))]
    if row.fields.get("verify_tls") is False:
        words.append("-k")
    code, out = await _said(*words, target)
    status, _, error = out.partition(" ")
    up = code == 0 and status.startswith("2")
    return "up" if up else f"down ({code} {status} {error.strip()})"


async def by_exporter(row: Row, place: Place, folder: Path) -> str | None:
    """Return up or down as the exporter has it, or None."""
    target = place.target
    if row.kind == "dns":
        if place.egress is not None:
            return None
        target = place.at
    module = _module(row, folder, place.target)
    if module is None or row.verdict not in {"up", "down"}:
        return None
    query = urlencode({"module": "row", "target": target, "debug": "true"})
    async with exporter(module, folder) as base:
        if base is None:
            return None
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{base}/probe?{query}") as answer,
        ):
            text = await answer.text()
    if "probe_success 1" in text:
        return "up"
    errors = [line for line in text.splitlines() if "level=error" in line or "err=" in line]
    return f"down ({errors[-1][-150:] if errors else text[:100]})"


async def main(word: str) -> None:
    """Ask all of them about every row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in ROWS:
            if word not in row.name and word != row.kind:
                continue
            async with row.up() as place:
                heard = (
                    ("curl", await by_curl(row, place.target, folder), row.curl),
                    ("dig", await by_dig(row, place), row.dig),
                    ("ping", await by_ping(row, place), row.ping),
                    ("blackbox", await by_exporter(row, place, folder), row.blackbox),
                )
            for who, theirs, note in heard:
                other = theirs is not None and theirs.partition(" ")[0] != row.verdict
                if other != bool(note):
                    print(f"{row.kind}: {row.name}: we {row.said}, {who} {theirs}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
