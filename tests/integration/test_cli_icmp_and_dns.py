"""`netpulse check --type icmp` and `--type dns`: options, words, JSON and exit status."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from netpulse.cli import main
from tests.nameserver import NameServer, can_ping

ZONE = {
    "shop.example": {"A": ["192.0.2.1", "192.0.2.2"], "TXT": ['"v=spf1 -all"']},
    "bad.example": {"TXT": ['"\\027[2Jx"']},
}


async def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command on a thread, beside the servers; return its status and what it said."""

    def command() -> int:
        try:
            return main(["check", *words])
        except SystemExit as left:
            return int(left.code or 0)

    status = await asyncio.to_thread(command)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.skipif(
    not can_ping(socket.AF_INET),
    reason="no ICMP socket is permitted here: run as root, or set net.ipv4.ping_group_range",
)
async def test_ping(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = await said(capsys, "127.0.0.1", "--type", "icmp", "--packets", "2")
    assert status == 0
    assert out.startswith("UP  127.0.0.1  answered in ")
    assert "  pings       2 of 2 came back\n" in out
    assert "  round trip  " in out
    status, out, _ = await said(capsys, "127.0.0.1", "--type", "icmp", "--packets", "1", "--json")
    packets = json.loads(out)["packets"]
    assert (packets["sent"], packets["received"], packets["loss_percent"]) == (1, 1, 0)
    assert packets["jitter_ms"] is None


async def test_dns(capsys: pytest.CaptureFixture[str]) -> None:
    async with NameServer(ZONE) as server:
        at = ("--type", "dns", "--nameserver", server.address)
        status, out, _ = await said(capsys, "shop.example", *at)
        assert status == 0
        assert "  record      192.0.2.1\n" in out
        wanted = ("--expected-value", "192.0.2.2", "--expected-value", "192.0.2.1")
        assert (await said(capsys, "shop.example", *at, *wanted))[0] == 0
        status, out, _ = await said(
            capsys, "shop.example", *at, "--expected-value", "192.0.2.9", "--match", "any"
        )
        assert status == 2
        assert "(mismatch)" in out
        status, out, _ = await said(capsys, "shop.example", *at, "--record-type", "txt", "--json")
        assert json.loads(out)["answers"] == ["v=spf1 -all"]
        status, out, _ = await said(capsys, "none.example", *at)
        assert status == 2
        assert (
            f"none.example does not exist (NXDOMAIN, says {server.address}) (dns, nxdomain)" in out
        )
        # What a stranger's record does to a terminal: nothing.
        _, out, _ = await said(capsys, "bad.example", *at, "--record-type", "TXT")
        assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("shop.example:80", "--type", "icmp"),
            "target: a ping has no port: write the host alone, or use a tcp monitor",
        ),
        (("shop.example", "--type", "icmp", "--packets", "0"), "--packets: must be at least 1"),
        (("shop.example", "--type", "icmp", "--match", "any"), "--match is not for icmp checks"),
        (
            ("shop.example", "--type", "dns", "--expected-value", "x"),
            "--expected-value: x is not an IPv4 address",
        ),
        (
            ("shop.example", "--type", "dns", "--nameserver", "ns.example"),
            "--nameserver: ns.example is a name",
        ),
        (
            ("shop.example", "--type", "dns", "--record-type", "ANY"),
            "argument --record-type: invalid choice",
        ),
    ],
)
async def test_usage(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    status, _, err = await said(capsys, *words)
    assert status in {2, 3}
    assert complaint in err
