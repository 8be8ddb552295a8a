"""The ssl probe against real servers: chain, host, dates, strength, and what is told anyway."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import pytest

from netpulse.egress.certificates import describe_certificate, names_host, weakness
from netpulse.egress.connect import Egress
from netpulse.model.time import DAY
from netpulse.rules.addresses import AddressPolicy
from tests.alerting import alerting
from tests.certificates import Authority, self_signed, weakly_signed
from tests.probing import Seen, check
from tests.servers import DnsServer, TcpServer, free_port, linger

OURS = Authority()
THEIRS = Authority()


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


async def see(
    egress: Egress, context: ssl.SSLContext | None, script: object = None, **fields: object
) -> Seen:
    fields = {"ca_certificate": OURS.pem, "server_name": "localhost"} | fields
    async with TcpServer(script, tls=context) as server:  # type: ignore[arg-type]
        return await check(egress, "127.0.0.1", "ssl", port=server.port, **fields)  # type: ignore[arg-type]


async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ready\r\n")
    await reader.read()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    linger(writer)
    writer.transport.abort()


STRICT = [
    ("good", OURS.good, {}, "up", None, ""),
    ("sent with its intermediate", OURS.complete, {}, "up", None, ""),
    (
        "near its end",
        lambda: OURS.expiring(7),
        {},
        "degraded",
        "certificate_expiring",
        "certificate for localhost expires in 6 days (limit 14)",
    ),
    (
        "near its end, no limit",
        lambda: OURS.expiring(7),
        {"alert_days_before_expiry": None},
        "up",
        None,
        "",
    ),
    (
        "longer limit",
        lambda: OURS.expiring(20),
        {"alert_days_before_expiry": 30},
        "degraded",
        "certificate_expiring",
        "certificate for localhost expires in 19 days (limit 30)",
    ),
    (
        "expired",
        OURS.expired,
        {},
        "down tls_expired",
        "expired",
        "certificate of localhost expired on",
    ),
    (
        "expired intermediate",
        OURS.expired_intermediate,
        {},
        "down tls_expired",
        "chain_expired",
        "a certificate in the chain of localhost has expired, not its own",
    ),
    (
        "not yet valid",
        OURS.not_yet_valid,
        {},
        "down tls_not_yet_valid",
        "not_yet_valid",
        "the clock of this host is wrong",
    ),
    (
        "wrong host",
        lambda: OURS.good("a.example", "b.example"),
        {},
        "down tls_hostname",
        "name_mismatch",
        "the certificate is for a.example, b.example, not for localhost; it ends on ",
    ),
    (
        "common name only",
        OURS.common_name_only,
        {},
        "down tls_hostname",
        "name_mismatch",
        "the certificate names no host at all, so it is not for localhost",
    ),
    (
        "self-signed",
        lambda: self_signed()[0],
        {},
        "down tls_untrusted",
        "self_signed",
        "it is self-signed; if that is meant, give it as the CA certificate; it ends on ",
    ),
    (
        "self-signed and given",
        lambda: self_signed()[0],
        {"ca_certificate": self_signed()[1]},
        "up",
        None,
        "",
    ),
    (
        "untrusted",
        THEIRS.good,
        {},
        "down tls_untrusted",
        "missing_intermediate",
        "its issuer Test Authority is neither sent by the server nor trusted by this host",
    ),
    (
        "missing intermediate",
        OURS.incomplete,
        {},
        "down tls_untrusted",
        "missing_intermediate",
        "is neither sent by the server nor trusted by this host",
    ),
    (
        "weak key",
        OURS.weak_key,
        {},
        "down tls_weak",
        "key_too_small",
        "the certificate of localhost",
    ),
    (
        "weak signature",
        lambda: weakly_signed()[0],
        {"ca_certificate": weakly_signed()[1]},
        "down tls_weak",
        "signature_too_weak",
        "of localhost",
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields", "said", "detail", "words"),
    [each[1:] for each in STRICT],
    ids=[each[0] for each in STRICT],
)
async def test_certificates(
    egress: Egress,
    kind: object,
    fields: dict[str, object],
    said: str,
    detail: str | None,
    words: str,
) -> None:
    seen = await see(egress, kind(), **fields)  # type: ignore[operator]
    assert seen.said == said, seen.message
    assert seen.verdict.detail == detail, seen.message
    assert words in seen.message
    certificate = seen.reading.certificate
    assert certificate is not None, "the certificate is told even when it does not verify"
    assert certificate.key.split()[0] in {"RSA", "EC"}
    assert certificate.chain[0].subject == certificate.subject
    assert certificate.chain[0].not_after == certificate.not_after
    if not said.startswith("down"):
        assert seen.reading.tls_version == "TLSv1.3"
        assert seen.reading.timings.tls_ms is not None


LOOSE = [
    ("untrusted", THEIRS.good, "up", None, ""),
    ("self-signed", lambda: self_signed()[0], "up", None, ""),
    ("missing intermediate", OURS.incomplete, "up", None, ""),
    (
        "near its end",
        lambda: THEIRS.expiring(2),
        "degraded",
        "certificate_expiring",
        "expires in 1 day (limit 14)",
    ),
    (
        "expired",
        THEIRS.expired,
        "down tls_expired",
        "expired",
        "certificate of localhost expired on",
    ),
    (
        "not yet valid",
        THEIRS.not_yet_valid,
        "down tls_not_yet_valid",
        "not_yet_valid",
        "the clock of this host",
    ),
    (
        "wrong host",
        lambda: THEIRS.good("a.example"),
        "down tls_hostname",
        "name_mismatch",
        "the certificate is for a.example, not for localhost",
    ),
    (
        "common name only",
        THEIRS.common_name_only,
        "down tls_hostname",
        "name_mismatch",
        "names no host at all",
    ),
    (
        "weak key",
        THEIRS.weak_key,
        "down tls_weak",
        "key_too_small",
        "the certificate of localhost has a key that is too small: RSA with 1024 bits",
    ),
    (
        "weak signature",
        lambda: weakly_signed()[0],
        "down tls_weak",
        "signature_too_weak",
        "the certificate of localhost is signed with SHA-1, which is broken",
    ),
]


@pytest.mark.parametrize(
    ("kind", "said", "detail", "words"),
    [each[1:] for each in LOOSE],
    ids=[each[0] for each in LOOSE],
)
async def test_without_the_chain_name_and_dates_still_count(
    egress: Egress, kind: object, said: str, detail: str | None, words: str
) -> None:
    seen = await see(egress, kind(), check_chain=False, ca_certificate=None)  # type: ignore[operator]
    assert seen.said == said, seen.message
    assert seen.verdict.detail == detail
    assert words in seen.message
    assert seen.reading.certificate is not None


@pytest.mark.parametrize(
    ("script", "said", "detail", "words"),
    [
        (banner, "down tls_handshake", "not_tls", "does not speak TLS on this port"),
        (None, "down timeout", "tls", "waiting for the TLS handshake"),
        (closes, "down tls_handshake", "closed", "closed the connection during the TLS handshake"),
        (resets, "down tls_handshake", "reset", "reset the connection during the TLS handshake"),
    ],
)
async def test_what_is_no_tls(
    egress: Egress, script: object, said: str, detail: str, words: str
) -> None:
    seen = await see(egress, None, script, timeout_seconds=1)
    assert (seen.said, seen.verdict.detail) == (said, detail), seen.message
    assert words in seen.message
    assert seen.reading.certificate is None


async def test_a_client_certificate_is_not_ours_to_give(egress: Egress) -> None:
    """Up to TLS 1.2 the server refuses within the handshake. In 1.3 it may only do so afterwards:
    by then the certificate has been shown, and that is what is watched."""
    seen = await see(egress, OURS.demanding(ssl.TLSVersion.TLSv1_2))
    assert seen.said == "down tls_handshake", seen.message
    seen = await see(egress, OURS.demanding())
    assert seen.said == "up", seen.message


@pytest.mark.parametrize("chain", [True, False])
async def test_old_tls(egress: Egress, chain: bool) -> None:
    async with alerting(OURS.old_protocol()) as port:
        seen = await check(
            egress,
            "127.0.0.1",
            "ssl",
            port=port,
            server_name="localhost",
            ca_certificate=OURS.pem,
            check_chain=chain,
        )
    assert (seen.said, seen.verdict.detail) == ("down tls_weak", "old_protocol")
    assert seen.message.startswith("localhost speaks only TLS older than 1.2; it ends on ")
    assert seen.reading.certificate is not None


async def test_names_and_addresses(egress: Egress) -> None:
    async with TcpServer(tls=OURS.good("127.0.0.1")) as server:
        target = f"127.0.0.1:{server.port}"
        seen = await check(egress, target, "ssl", port=server.port, ca_certificate=OURS.pem)
        assert seen.said == "up", seen.message
        seen = await check(egress, target, "ssl", port=server.port, check_chain=False)
        assert seen.said == "up", seen.message
        seen = await check(
            egress, f"localhost:{server.port}", "ssl", port=server.port, check_chain=False
        )
        assert seen.said == "down tls_hostname"
    async with DnsServer({"a.shop.example": ["127.0.0.1"]}) as names:
        local = Egress(nameservers=[names.address])
        async with TcpServer(tls=OURS.good("*.shop.example")) as server:
            for chain in (True, False):
                seen = await check(
                    local,
                    "a.shop.example",
                    "ssl",
                    port=server.port,
                    ca_certificate=OURS.pem,
                    check_chain=chain,
                )
                assert seen.said == "up", seen.message
        await local.close()


async def test_not_connected(egress: Egress) -> None:
    assert (await check(egress, "127.0.0.1", "ssl", port=free_port())).said == "down refused"
    public = egress.under(AddressPolicy(allow_private=False))
    assert (await check(public, "127.0.0.1", "ssl", port=443)).said == "down blocked"


async def test_inverted(egress: Egress) -> None:
    assert (await see(egress, OURS.good(), invert=True)).said == "down mismatch"
    assert (await see(egress, OURS.expired(), invert=True)).said == "up"


async def test_https_tells_the_chain_too(egress: Egress) -> None:
    from tests.servers import HttpServer, answer

    async with HttpServer(answer(200), tls=OURS.complete(), name="localhost") as server:
        seen = await check(egress, server.url(), ca_certificate=OURS.pem)
    assert seen.said == "up"
    assert seen.reading.certificate is not None
    own, above = seen.reading.certificate.chain
    assert own.issuer == above.subject
    assert above.not_after > time.time() * 1000 + DAY


def der(context_maker: object) -> bytes:
    return ssl.PEM_cert_to_DER_cert(context_maker)  # type: ignore[arg-type]


def test_whom_a_certificate_names() -> None:
    def issued(*names: str) -> bytes:
        return der(OURS.ca.issue_cert(*names).cert_chain_pems[0].bytes().decode())

    plain = issued("shop.example", "192.0.2.7", "2001:db8::1")
    for host, said in {
        "shop.example": True,
        "SHOP.example.": True,
        "a.shop.example": False,
        "example": False,
        "192.0.2.7": True,
        "192.0.2.8": False,
        "2001:db8:0::1": True,
    }.items():
        assert names_host(plain, host) is said, host
    stars = issued("*.shop.example")
    for host, said in {
        "a.shop.example": True,
        "A.Shop.Example": True,
        "a.b.shop.example": False,
        "shop.example": False,
        "*.shop.example": True,
    }.items():
        assert names_host(stars, host) is said, host


def test_strength_of_good_ones() -> None:
    for issued in (
        OURS.ca.issue_cert("a.example"),
        OURS.ca.create_child_ca().issue_cert("a.example"),
    ):
        chain = tuple(der(blob.bytes().decode()) for blob in issued.cert_chain_pems)
        assert weakness(chain) is None
        assert describe_certificate(chain[0]).signature == "sha256"
