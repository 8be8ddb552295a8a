"""`netpulse check`: words, JSON and the exit status of monitoring plugins."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netpulse.cli import main
from netpulse.web.api import checks
from tests.certificates import Authority
from tests.servers import DnsServer, HttpServer, TcpServer, answer, free_port, redirect

OURS = Authority()


class Said:
    """What a command said, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def check(self) -> dict[str, Any]:
        """The JSON it printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


async def said(capsys: pytest.CaptureFixture[str], *words: str) -> Said:
    """Run the command on a thread, beside the servers."""

    def command() -> int:
        try:
            return main(["check", *words])
        except SystemExit as left:
            return int(left.code or 0)

    status = await asyncio.to_thread(command)
    captured = capsys.readouterr()
    return Said(status, captured.out, captured.err)


async def test_up(capsys: pytest.CaptureFixture[str]) -> None:
    async with HttpServer({"/": redirect("/in"), "/in": answer(200, body=b"hi")}) as server:
        found = await said(capsys, server.url())
    assert found.status == 0
    lines = found.out.splitlines()
    assert lines[0].startswith(f"UP  {server.url()}  answered 200 in ")
    shown = {line[:14].strip(): line[14:] for line in lines[1:]}
    assert list(shown) == ["address", "dns", "connect", "first byte", "total", "redirects"]
    assert shown["address"] == "127.0.0.1"
    assert shown["redirects"] == f"1, to {server.url('/in')}"
    assert shown["total"].endswith(" ms")


async def test_degraded_and_a_certificate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_text(OURS.pem)
    async with HttpServer(answer(200), tls=OURS.expiring(20), name="localhost") as server:
        words = [server.url(), "--cacert", str(roots), "--alert-days", "30"]
        found = await said(capsys, *words)
        assert found.status == 1
        assert found.out.startswith(f"DEGRADED  {server.url()}  certificate for localhost expires ")
        assert "\n  tls         " in found.out
        assert " ms  TLSv1.3\n" in found.out
        assert "\n  certificate localhost, issued by Test Authority, ends 20" in found.out
        assert "(in 19 days)" in found.out
        found = await said(capsys, server.url())
        assert found.status == 2
        found = await said(capsys, server.url(), "--insecure", "--type", "https")
        assert found.status == 0


async def test_down(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    found = await said(capsys, f"http://127.0.0.1:{port}/")
    assert found.status == 2
    assert found.out.startswith(
        f"DOWN  http://127.0.0.1:{port}/  connection refused by 127.0.0.1:{port} (refused)\n"
    )
    async with HttpServer(answer(503)) as server:
        found = await said(capsys, server.url())
    assert found.status == 2
    assert "status 503, expected 200-299 (status)" in found.out


async def test_inconclusive(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["http://shop.example/", "--nameserver", f"127.0.0.1:{free_port()}", "--timeout", "1"]
    found = await said(capsys, *words)
    assert found.status == 3
    assert found.out.startswith("INCONCLUSIVE  http://shop.example/  no name server answers")
    found = await said(capsys, *words, "--json")
    assert found.status == 3
    assert found.check["failure"] == "own_network"


async def test_a_name_server_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    async with DnsServer({"shop.example": ["127.0.0.1"]}) as names, TcpServer() as server:
        target = f"shop.example:{server.port}"
        found = await said(capsys, target, "--nameserver", names.address)
    assert found.status == 0
    assert found.out.startswith(f"UP  {target}  connected in ")


async def test_all_addresses_and_the_first_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    body = b"\x1b[2Jfine" + b"." * 5000
    async with (
        DnsServer({"shop.example": ["127.0.0.1", "::1"]}) as names,
        HttpServer(answer(200, body=body)) as server,
    ):
        words = [f"http://shop.example:{server.port}/", "--nameserver", names.address]
        found = await said(capsys, *words)
        assert found.status == 0
        assert "\n  address     127.0.0.1\n  also at     ::1\n" in found.out
        found = await said(capsys, *words, "--json")
    assert found.check["address"] == "127.0.0.1"
    assert sorted(found.check["addresses"]) == ["127.0.0.1", "::1"]
    shown = found.check["body"]
    assert set(shown) == {field.encode_name for field in msgspec.structs.fields(checks.BodyAnswer)}
    # What would clear the screen is text.
    assert shown["text"].startswith("\\x1b[2Jfine.")
    assert (shown["shown_bytes"], shown["total_bytes"], shown["is_cut"]) == (4096, 5008, True)


async def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    async with HttpServer(answer(404)) as server:
        found = await said(capsys, server.url(), "--json")
    assert found.status == 2
    check = found.check
    assert check["status"] == "down"
    assert check["status_code"] == 404
    assert check["failure"] == "status"
    assert check["failure_detail"] is None
    assert check["error_message"] == "status 404, expected 200-299"
    assert isinstance(check["response_time_ms"], int)
    assert check["region"] == "local"
    assert check["checked_at"].endswith("Z")
    # Every field that the API answers to POST /v1/monitors/test.
    assert set(check) == {field.encode_name for field in msgspec.structs.fields(checks.TestAnswer)}
    assert set(check["timings"]) == {
        "dns_ms",
        "connect_ms",
        "tls_ms",
        "first_byte_ms",
        "total_ms",
    }
    assert check["timings"]["tls_ms"] is None
    found = await said(capsys, f"127.0.0.1:{free_port()}", "--json")
    assert found.check["response_time_ms"] is None
    assert found.check["failure"] == "refused"


async def test_http_options(capsys: pytest.CaptureFixture[str]) -> None:
    async with HttpServer(answer(201, body=b'{"state": "good", "n": 1}')) as server:
        words = [
            *("-X", "PUT", "-H", "X-One: 1", "-H", "X-Two:2", "--body", "data"),
            *("--expect-status", "201, 300-302", "--body-match", "good"),
            *("--body-not-match", "bad", "--regex", "st.te", "--json-path", "$.n"),
            *("--json-value", "1", "--user", "ann:b:c", "-4", "--max-redirects", "0"),
            *("--degraded-after", "5000", "--no-redirects"),
        ]
        found = await said(capsys, server.url(), *words)
        assert found.status == 0, found.out
        request = server.requests[0]
        assert (request.method, request.body) == ("PUT", b"data")
        assert (request.headers["x-one"], request.headers["x-two"]) == ("1", "2")
        assert request.headers["authorization"] == "Basic YW5uOmI6Yw=="
        await said(capsys, server.url(), "--bearer", "t")
        assert server.requests[1].headers["authorization"] == "Bearer t"
        bare = server.url().removeprefix("http://")
        found = await said(capsys, bare)
        assert found.out.startswith("UP  http://"), "a path makes it a URL"


async def test_tcp_options(capsys: pytest.CaptureFixture[str]) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n"))
        await reader.read()
        writer.close()

    async with TcpServer(echo) as server:
        target = f"127.0.0.1:{server.port}"
        found = await said(capsys, target, "--send", r"a\\b\r\n", "--expect", r"a\\b\r")
        assert found.status == 0, found.out
        found = await said(capsys, target, "--send", r"x\r\n", "--expect", "y", "--timeout", "1")
        assert found.status == 2
        assert 'answered "x' in found.out
        found = await said(capsys, target, "--type", "tcp", "--invert")
        assert found.status == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "the following arguments are required: TARGET"),
        (["http://127.0.0.1/", "--colour"], "unrecognized arguments: --colour"),
        (["http://127.0.0.1/", "--type", "smtp"], "invalid choice: 'smtp'"),
        (["http://127.0.0.1/", "--send", "x"], "--send is not for http checks"),
        (["127.0.0.1:80", "--method", "PUT"], "--method is not for tcp checks"),
        (["127.0.0.1:0"], "target: 0 is not a port: use 1 to 65535"),
        (["http://127.0.0.1:0/"], "target: port 0 cannot be connected to"),
        (["http://a b/"], "target: it has a space or control character"),
        (["ftp://files.example/"], "target: the scheme is ftp; use http or https"),
        (["http://x.example/", "--type", "https"], "an https monitor needs an https:// target"),
        (["http://x.example/", "--timeout", "0"], "--timeout: must be at least 1"),
        (["http://x.example/", "--regex", "("], "--regex: RE2 does not take it"),
        (["http://x.example/", "--json-value", "1"], "--json-value: is compared with json_path"),
        (["http://x.example/", "--json-value", "good"], "--json-value good is not JSON"),
        (["http://x.example/", "--header", "X"], '--header X: write "Name: value"'),
        (["http://x.example/", "--user", "a:b", "--bearer", "c"], "--user and --bearer: give one"),
        (["http://x.example/", "--cacert", "/nowhere"], "--cacert /nowhere: "),
        (["http://x.example/", "--nameserver", "dns.example"], "write an address, or address:port"),
        (["http://x.example/", "-4", "-6"], "not allowed with argument"),
    ],
)
async def test_mistakes_are_not_verdicts(
    capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    found = await said(capsys, *words)
    assert found.status == 3
    assert found.out == ""
    assert complaint in found.err
    assert "netpulse" in found.err


async def test_a_password_in_the_target_is_used_and_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with HttpServer(answer(200)) as server:
        target = server.url().replace("//", "//ann:secret@")
        for more in ([], ["--json"]):
            found = await said(capsys, target, *more)
            assert found.status == 0
            assert "secret" not in found.out
        assert server.requests[0].headers["authorization"] == "Basic YW5uOnNlY3JldA=="


async def test_a_certificate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = tmp_path / "ca.pem"
    root.write_text(OURS.pem)
    more = ["--type", "ssl", "--server-name", "localhost", "--cacert", str(root)]
    async with TcpServer(tls=OURS.expiring(20)) as server:
        target = f"127.0.0.1:{server.port}"
        found = await said(capsys, target, *more)
        assert found.status == 0
        assert "the certificate is good, shown in" in found.out
        for row in ("certificate ", "chain ", "key "):
            assert f"  {row}" in found.out
        found = await said(capsys, target, *more, "--alert-days", "30", "--json")
        assert found.status == 1
        told = json.loads(found.out)
        assert told["error_message"] == "certificate for localhost expires in 19 days (limit 30)"
        assert told["certificate"]["chain"][0]["not_after"].endswith("Z")
        assert (await said(capsys, target, "--type", "ssl")).status == 2
        assert (await said(capsys, target, *more[:4], "--no-chain")).status == 0
        found = await said(capsys, target, *more, "--method", "PUT")
        assert (found.status, "--method is not for ssl checks" in found.err) == (3, True)


async def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    found = await said(capsys, "--help")
    assert found.status == 0
    for word in ("--expect-status", "--json", "host:port", "Exit status: 0 up, 1 degraded, 2 down"):
        assert word in found.out


def test_it_starts_lean() -> None:
    """It loads no server, no storage and no other heavy part."""
    script = (
        "import sys; from netpulse.cli import main; "
        f"main(['check', '127.0.0.1:{free_port()}']); "
        "print([name for name in ('litestar', 'granian', 'apsw', 'sqlite_utils', 'aiohttp', "
        "'jinja2', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
