"""What curl and the Prometheus blackbox exporter make of our hostile host, beside our verdicts.

    python -m tests.hostile.compare [WORD]

Prints the rows (those with WORD in their name) on which one of them decides otherwise and the
table has no note, and those whose note is not needed any more.
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

from tests.hostile.rows import Row
from tests.hostile.table import ROWS
from tests.servers import free_port

EXPORTER = "prometheus-blackbox-exporter"


def _module(row: Row, folder: Path) -> dict[str, Any] | None:
    """Return the exporter's module that comes nearest to the row's monitor, or None."""
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
async def exporter(folder: Path) -> AsyncIterator[str | None]:
    """Run the exporter with a module for each row; gives its address, or None without it."""
    program = shutil.which(EXPORTER)
    if program is None:
        yield None
        return
    modules = {
        f"row{number}": module
        for number, row in enumerate(ROWS)
        if (module := _module(row, folder)) is not None
    }
    config = folder / "modules.json"
    config.write_text(json.dumps({"modules": modules}))
    port = free_port()
    running = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await asyncio.sleep(1.5)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        await running.wait()


async def by_curl(row: Row, target: str, folder: Path) -> str | None:
    """Return up or down as curl has it, or None where it has no such check."""
    if row.kind == "tcp" or row.verdict == "degraded" or shutil.which("curl") is None:
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
    running = await asyncio.create_subprocess_exec(
        *words, target, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await running.communicate()
    status, _, error = out.decode("utf-8", "replace").partition(" ")
    up = running.returncode == 0 and status.startswith("2")
    return "up" if up else f"down ({running.returncode} {status} {error.strip()})"


async def by_exporter(base: str | None, number: int, target: str, folder: Path) -> str | None:
    """Return up or down as the exporter has it, or None."""
    row = ROWS[number]
    if base is None or _module(row, folder) is None or row.verdict == "degraded":
        return None
    query = urlencode({"module": f"row{number}", "target": target, "debug": "true"})
    async with aiohttp.ClientSession() as session, session.get(f"{base}/probe?{query}") as answer:
        text = await answer.text()
    if "probe_success 1" in text:
        return "up"
    errors = [line for line in text.splitlines() if "level=error" in line or "err=" in line]
    return f"down ({errors[-1][-150:] if errors else text[:100]})"


async def main(word: str) -> None:
    """Ask both about every row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with exporter(folder) as base:
            for number, row in enumerate(ROWS):
                if word not in row.name:
                    continue
                async with row.serve() as target:
                    said = await by_curl(row, target, folder)
                    exported = await by_exporter(base, number, target, folder)
                for who, theirs, note in (
                    ("curl", said, row.curl),
                    ("blackbox", exported, row.blackbox),
                ):
                    other = theirs is not None and theirs.partition(" ")[0] != row.verdict
                    if other != bool(note):
                        print(f"{row.kind}: {row.name}: we {row.said}, {who} {theirs}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
