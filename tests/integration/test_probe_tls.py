"""TLS verdicts: each fault of a certificate has its word, and the certificate is told anyway."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from netpulse.egress.certificates import describe_certificate
from netpulse.egress.connect import Egress
from netpulse.egress.tls import CONTEXTS, TlsOptions, make_context
from tests.alerting import alerting
from tests.certificates import self_signed
from tests.hostile.tls import OURS, THEIRS
from tests.probing import check
from tests.servers import HttpServer, TcpServer, answer, redirect


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


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


async def test_a_certificate_can_be_pinned(egress: Egress) -> None:
    context, pem = self_signed()
    async with HttpServer(answer(200), tls=context, name="localhost") as server:
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


def test_describing_rubbish_is_a_value_error() -> None:
    for rubbish in (b"", b"\x30", b"hello" * 100):
        with pytest.raises(ValueError, match="parsing"):
            describe_certificate(rubbish)
