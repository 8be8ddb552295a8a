"""TLS verdicts: each fault of a certificate has its word, and the certificate is told anyway."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import uvloop

from netpulse.egress.certificates import describe_certificate
from netpulse.egress.connect import Egress
from netpulse.egress.tls import CONTEXTS, TlsOptions, make_context
from tests.alerting import alerting
from tests.certificates import self_signed
from tests.hostile.tls import CERTIFICATES, OURS, THEIRS
from tests.probing import check
from tests.servers import HttpServer, TcpServer, answer, linger, redirect


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


@pytest.mark.parametrize(
    ("kind", "said", "detail", "words"),
    [each[1:] for each in CERTIFICATES],
    ids=[each[0] for each in CERTIFICATES],
)
async def test_certificates(
    egress: Egress, kind: object, said: str, detail: str | None, words: str
) -> None:
    context: ssl.SSLContext = kind()  # type: ignore[operator]
    async with HttpServer(answer(200), tls=context, name="localhost") as server:
        seen = await check(egress, server.url(), ca_certificate=OURS.pem)
    assert seen.said == said, seen.message
    assert seen.verdict.detail == detail
    assert words in seen.message
    certificate = seen.reading.certificate
    assert certificate is not None, "the certificate is told even when it does not verify"
    assert len(certificate.fingerprint) == 64
    assert certificate.not_after > certificate.not_before
    assert (seen.reading.timings.tls_ms is not None) == (said == "up")


async def test_a_refused_certificate_costs_one_further_handshake(egress: Egress) -> None:
    """Counted by a relay before the server, which does not count handshakes that fail."""
    async with HttpServer(answer(200), tls=OURS.expired(), name="localhost") as behind:

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65_536):
                    sink.write(data)
            sink.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back, forth = await asyncio.open_connection("127.0.0.1", behind.port)
            await asyncio.gather(pump(reader, forth), pump(back, writer))

        async with TcpServer(relay) as front:
            url = f"https://localhost:{front.port}/"
            seen = await check(egress, url, ca_certificate=OURS.pem)
            assert seen.said == "down tls_expired"
            assert seen.reading.certificate is not None
            assert front.connections == 2
            await asyncio.sleep(0.05)


async def test_what_a_certificate_says(egress: Egress) -> None:
    async with HttpServer(answer(200), tls=OURS.expiring(20), name="localhost") as server:
        seen = await check(egress, server.url(), ca_certificate=OURS.pem)
        assert seen.said == "up"
        assert seen.reading.tls_version == "TLSv1.3"
        certificate = seen.reading.certificate
        assert certificate is not None
        assert certificate.names == ("localhost",)
        assert certificate.subject == "localhost"
        assert certificate.issuer == "Test Authority"
        assert not certificate.self_signed
        seen = await check(
            egress, server.url(), ca_certificate=OURS.pem, alert_days_before_expiry=30
        )
        assert seen.said == "degraded"
        assert seen.message == "certificate for localhost expires in 19 days (limit 30)"


async def test_addresses_are_verified_as_addresses(egress: Egress) -> None:
    async with HttpServer(answer(200), tls=OURS.good("127.0.0.1")) as server:
        assert (await check(egress, server.url(), ca_certificate=OURS.pem)).said == "up"
    async with HttpServer(answer(200), tls=OURS.good("localhost")) as server:
        seen = await check(egress, server.url(), ca_certificate=OURS.pem)
        assert seen.said == "down tls_hostname"
        assert seen.message == "the certificate is for localhost, not for 127.0.0.1"


async def test_verification_can_be_left_out(egress: Egress) -> None:
    for context in (OURS.expired(), self_signed()[0], THEIRS.good("other.example")):
        async with HttpServer(answer(200), tls=context, name="localhost") as server:
            seen = await check(egress, server.url(), verify_tls=False)
        assert seen.said == "up"
        assert seen.reading.certificate is not None


async def test_a_certificate_can_be_pinned(egress: Egress) -> None:
    context, pem = self_signed()
    async with HttpServer(answer(200), tls=context, name="localhost") as server:
        assert (await check(egress, server.url(), ca_certificate=pem)).said == "up"
        assert (await check(egress, server.url(), "https", ca_certificate=pem)).said == "up"


async def test_the_systems_roots_stay_trusted_beside_our_own() -> None:
    plain = len(make_context(TlsOptions()).get_ca_certs())
    with_ours = len(make_context(TlsOptions(ca_certificate=OURS.pem)).get_ca_certs())
    assert plain > 50
    assert with_ours == plain + 1


async def test_contexts_are_shared() -> None:
    one = await CONTEXTS.get(TlsOptions(ca_certificate=OURS.pem))
    assert one is await CONTEXTS.get(TlsOptions(ca_certificate=OURS.pem))
    assert one is not await CONTEXTS.get(TlsOptions(ca_certificate=THEIRS.pem))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(egress: Egress, version: ssl.TLSVersion) -> None:
    certificate, key = OURS.client()
    async with alerting(OURS.demanding(version)) as port:
        url = f"https://localhost:{port}/"
        seen = await check(egress, url, ca_certificate=OURS.pem)
        assert seen.said == "down tls_handshake", seen.message
        assert "demand" in seen.message or "handshake_failure" in seen.message
        seen = await check(
            egress,
            url,
            ca_certificate=OURS.pem,
            client_certificate=certificate,
            client_key=key,
        )
        assert seen.said == "up", seen.message


async def test_a_client_certificate_stays_with_its_origin(egress: Egress) -> None:
    certificate, key = OURS.client()
    asking = OURS.good()
    asking.verify_mode = ssl.CERT_OPTIONAL
    asking.load_verify_locations(cadata=OURS.pem)
    shown = []

    async def look(exchange: object) -> None:
        writer = exchange.writer  # type: ignore[attr-defined]
        shown.append(writer.get_extra_info("peercert"))
        await exchange.send(answer(200))  # type: ignore[attr-defined]

    async with (
        HttpServer({"*": look}, tls=asking, name="localhost") as other,
        HttpServer({"*": redirect(other.url())}, tls=OURS.demanding(), name="localhost") as first,
    ):
        seen = await check(
            egress,
            first.url(),
            ca_certificate=OURS.pem,
            client_certificate=certificate,
            client_key=key,
        )
    assert seen.said == "up", seen.message
    assert shown == [{}] or shown == [None]


async def test_old_protocols_are_weak(egress: Egress) -> None:
    async with alerting(OURS.old_protocol()) as port:
        seen = await check(egress, f"https://localhost:{port}/", ca_certificate=OURS.pem)
    assert seen.said == "down tls_weak"
    assert seen.verdict.detail == "old_protocol"
    assert seen.message == "localhost speaks only TLS older than 1.2"


async def test_unusable_certificates_of_our_own_are_not_the_targets_fault(egress: Egress) -> None:
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    certificate, _ = OURS.client()
    _, other_key = THEIRS.client()
    async with HttpServer(answer(200), tls=OURS.good(), name="localhost") as server:
        for fields in (
            {"ca_certificate": broken},
            {"client_certificate": certificate, "client_key": other_key},
            {"client_certificate": certificate, "client_key": "nothing"},
        ):
            seen = await check(egress, server.url(), **fields)
            assert seen.said == "inconclusive internal"
            assert seen.verdict.detail == "certificate_unusable"


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    linger(writer)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("script", "said", "detail", "words"),
    [
        (closes, "down tls_handshake", "closed", "localhost closed the connection during the TLS"),
        (resets, "down tls_handshake", "reset", "localhost reset the connection during the TLS"),
        (b"SSH-2.0-x\r\n", "down tls_handshake", "not_tls", "does not speak TLS on this port"),
        (answer(400), "down tls_handshake", "not_tls", "does not speak TLS on this port"),
        (None, "down timeout", "tls", ", waiting for the TLS handshake"),
    ],
)
async def test_servers_that_speak_no_tls(
    egress: Egress, script: object, said: str, detail: str, words: str
) -> None:
    async with TcpServer(script) as server:  # type: ignore[arg-type]
        seen = await check(egress, f"https://localhost:{server.port}/", timeout_seconds=1)
    assert seen.said == said, seen.message
    assert seen.verdict.detail == detail
    assert words in seen.message


async def test_a_body_that_ends_without_goodbye_is_whole(egress: Egress) -> None:
    """Many servers just close the connection, without TLS's own close_notify."""
    async with alerting(OURS.good(), b"HTTP/1.1 200 OK\r\n\r\nhello") as port:
        seen = await check(egress, f"https://localhost:{port}/", ca_certificate=OURS.pem)
    assert seen.said == "up", seen.message
    assert seen.reading.body == b"hello"


def test_the_same_verdicts_on_uvloop() -> None:
    async def all_of_them() -> list[tuple[str, str, str]]:
        egress = Egress()
        wrong = []
        for name, kind, said, _, _ in CERTIFICATES:
            async with HttpServer(answer(200), tls=kind(), name="localhost") as server:
                seen = await check(egress, server.url(), ca_certificate=OURS.pem)
                if seen.said != said:
                    wrong.append((name, said, seen.said))
        async with TcpServer() as silent:
            seen = await check(egress, f"https://localhost:{silent.port}/", timeout_seconds=1)
            if seen.said != "down timeout":
                wrong.append(("silent", "down timeout", seen.said))
        await egress.close()
        return wrong

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(all_of_them()) == []


def test_describing_rubbish_is_a_value_error() -> None:
    for rubbish in (b"", b"\x30", b"hello" * 100):
        with pytest.raises(ValueError, match="parsing"):
            describe_certificate(rubbish)
