"""Certificates and handshakes of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

from tests.alerting import alerting
from tests.certificates import Authority, self_signed
from tests.hostile.rows import Chapter, Row, Serve, https, tcp
from tests.servers import answer, linger

OURS = Authority()
THEIRS = Authority()

CERTIFICATES = [
    ("good", OURS.good, "up", None, ""),
    ("sent with its intermediate", OURS.complete, "up", None, ""),
    ("expired", OURS.expired, "down tls_expired", "expired", "certificate of localhost expired on"),
    (
        "expired intermediate",
        OURS.expired_intermediate,
        "down tls_expired",
        "chain_expired",
        "a certificate in the chain of localhost has expired, not its own",
    ),
    (
        "not yet valid",
        OURS.not_yet_valid,
        "down tls_not_yet_valid",
        "not_yet_valid",
        "if that is not in the future, the clock of this host is wrong",
    ),
    (
        "for another host",
        lambda: OURS.good("a.example", "b.example"),
        "down tls_hostname",
        "name_mismatch",
        "the certificate is for a.example, b.example, not for localhost",
    ),
    (
        "for an address only",
        lambda: OURS.good("127.0.0.1"),
        "down tls_hostname",
        "name_mismatch",
        "the certificate is for 127.0.0.1, not for localhost",
    ),
    (
        "common name only",
        OURS.common_name_only,
        "down tls_hostname",
        "name_mismatch",
        "the certificate names no host at all, so it is not for localhost",
    ),
    (
        "self-signed",
        lambda: self_signed()[0],
        "down tls_untrusted",
        "self_signed",
        "it is self-signed; if that is meant, give it as the CA certificate",
    ),
    (
        "of another authority",
        THEIRS.good,
        "down tls_untrusted",
        "missing_intermediate",
        "its issuer Test Authority is neither sent by the server nor trusted by this host",
    ),
    (
        "without its intermediate",
        OURS.incomplete,
        "down tls_untrusted",
        "missing_intermediate",
        "is neither sent by the server nor trusted by this host",
    ),
    (
        "weak key",
        OURS.weak_key,
        "down tls_weak",
        "key_too_small",
        "the key of the certificate of localhost is too small",
    ),
]


TRUSTED = {"ca_certificate": OURS.pem}
SOON = {"timeout_seconds": 1}


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close in the middle of the handshake."""
    await reader.read(10)
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset in the middle of the handshake."""
    await reader.read(10)
    linger(writer)
    writer.transport.abort()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The beginning of a record, a byte at a time."""
    for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 500:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


def told(context: Callable[[], ssl.SSLContext], reply: bytes = answer(200)) -> Serve:
    """Return how to serve with a server that sends an alert when it refuses."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with alerting(context(), reply) as port:
            yield f"https://localhost:{port}/"

    return serve


CURL = {
    "common name only": "is up: it still falls back to the common name, which RFC 9525 ended",
}
BLACKBOX = {
    "weak key": "is up: Go has no least key size for RSA here; OpenSSL and browsers do",
}


def _made(
    name: str, context: Callable[[], ssl.SSLContext], said: str, detail: str | None, words: str = ""
) -> Row:
    return Row(
        name,
        https(context, answer(200)),
        said,
        detail,
        fields=TRUSTED,
        words=words,
        shows_certificate=True,
        curl=CURL.get(name, ""),
        blackbox=BLACKBOX.get(name, ""),
    )


def _shaken(name: str, script: object, said: str, detail: str, words: str) -> Row:
    serve = tcp(script, "https", "localhost")
    return Row(name, serve, said, detail, fields=SOON, words=words)


def _wildcard(*names: str) -> Callable[[], ssl.SSLContext]:
    return lambda: OURS.good(*names)


CHAPTERS = (
    Chapter(
        "Certificates",
        "Each fault has its word; the certificate is told all the same, for at most one further"
        " handshake. The host is localhost, its authority is given as `ca_certificate`.",
        (
            *(
                _made(name, context, said, detail, words)
                for name, context, said, detail, words in CERTIFICATES
            ),
            _made("for localhost among others", _wildcard("a.example", "localhost"), "up", None),
            _made(
                "a wildcard above the host",
                _wildcard("*.localhost"),
                "down tls_hostname",
                "name_mismatch",
            ),
            _made("ends tomorrow", lambda: OURS.expiring(1), "up", None),
            Row(
                "ends in 20 days, 30 wanted",
                https(lambda: OURS.expiring(20), answer(200)),
                "degraded",
                "certificate_expiring",
                fields={**TRUSTED, "alert_days_before_expiry": 30},
            ),
            Row(
                "expired, not verified",
                https(OURS.expired, answer(200)),
                "up",
                fields={"verify_tls": False},
                shows_certificate=True,
            ),
            Row(
                "for another host, not verified",
                https(_wildcard("a.example"), answer(200)),
                "up",
                fields={"verify_tls": False},
                shows_certificate=True,
            ),
            Row(
                "self-signed, not verified",
                https(lambda: self_signed()[0], answer(200)),
                "up",
                fields={"verify_tls": False},
                shows_certificate=True,
            ),
            Row(
                "self-signed and given as the authority",
                https(lambda: self_signed()[0], answer(200)),
                "up",
                fields={"ca_certificate": self_signed()[1]},
            ),
        ),
    ),
    Chapter(
        "Handshakes",
        "What happens before there is a certificate.",
        (
            _shaken(
                "closes",
                closes,
                "down tls_handshake",
                "closed",
                "localhost closed the connection during the TLS",
            ),
            _shaken(
                "resets",
                resets,
                "down tls_handshake",
                "reset",
                "localhost reset the connection during the TLS",
            ),
            _shaken(
                "speaks SSH",
                b"SSH-2.0-x\r\n",
                "down tls_handshake",
                "not_tls",
                "does not speak TLS on this port",
            ),
            _shaken(
                "speaks plain HTTP",
                answer(400),
                "down tls_handshake",
                "not_tls",
                "does not speak TLS on this port",
            ),
            _shaken("is silent", None, "down timeout", "tls", ", waiting for the TLS handshake"),
            _shaken("drips", drips, "down timeout", "tls", ", waiting for the TLS handshake"),
            Row(
                "TLS 1.1 at best",
                told(OURS.old_protocol),
                "down tls_weak",
                "old_protocol",
                fields=TRUSTED,
                words="localhost speaks only TLS older than 1.2",
            ),
            Row(
                "demands a client certificate (TLS 1.2)",
                told(lambda: OURS.demanding(ssl.TLSVersion.TLSv1_2)),
                "down tls_handshake",
                "handshake_failure",
                fields=TRUSTED,
            ),
            Row(
                "demands a client certificate (TLS 1.3)",
                told(OURS.demanding),
                "down tls_handshake",
                "certificate_required",
                fields=TRUSTED,
            ),
            Row(
                "closes without close_notify",
                told(OURS.good, b"HTTP/1.1 200 OK\r\n\r\nhello"),
                "up",
                fields={**TRUSTED, "body_match": "hello"},
            ),
        ),
    ),
)
