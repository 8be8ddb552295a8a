"""Why a TLS handshake failed, in the closed list's words and in a sentence."""

from __future__ import annotations

import ssl

from netpulse.model.check import Certificate, Failure
from netpulse.model.time import rfc3339

_ISSUER_AWAY = (
    "missing_intermediate",
    "its issuer {issuer} is neither sent by the server nor trusted by this host",
)
# Verification results of OpenSSL (x509_vfy.h).
_UNTRUSTED: dict[int, tuple[str, str]] = {
    2: _ISSUER_AWAY,
    7: ("bad_signature", "a signature in its chain is wrong"),
    18: ("self_signed", "it is self-signed; if that is meant, give it as the CA certificate"),
    19: ("self_signed_chain", "its chain ends in a root that this host does not trust"),
    20: ("unknown_issuer", "its issuer {issuer} is not trusted by this host"),
    21: _ISSUER_AWAY,
    22: ("chain_too_long", "its chain is too long"),
    23: ("revoked", "it has been revoked"),
    24: ("invalid_ca", "a certificate in its chain may not sign others"),
    25: ("path_length", "its chain is longer than a certificate in it allows"),
    26: ("wrong_purpose", "it is not meant for servers"),
    27: ("untrusted_root", "its root is not trusted for this"),
    28: ("rejected_root", "its root is rejected for this"),
}
_WEAK_CODES: dict[int, tuple[str, str]] = {
    66: ("key_too_small", "the key of the certificate of {host} is too small"),
    67: ("ca_key_too_small", "a key in the certificate chain of {host} is too small"),
    68: ("signature_too_weak", "a signature in the certificate chain of {host} is too weak"),
}
_WEAK_REASONS: dict[str, tuple[str, str]] = {
    "DH_KEY_TOO_SMALL": ("dh_key_too_small", "{host} offers Diffie-Hellman with too small a key"),
    "EE_KEY_TOO_SMALL": _WEAK_CODES[66],
    "CA_KEY_TOO_SMALL": _WEAK_CODES[67],
    "CA_MD_TOO_WEAK": _WEAK_CODES[68],
    "UNSUPPORTED_PROTOCOL": ("old_protocol", "{host} speaks only TLS older than 1.2"),
    "TLSV1_ALERT_PROTOCOL_VERSION": ("old_protocol", "{host} speaks only TLS older than 1.2"),
    "SSLV3_ALERT_PROTOCOL_VERSION": ("old_protocol", "{host} speaks only TLS older than 1.2"),
    "WRONG_SSL_VERSION": ("old_protocol", "{host} speaks only TLS older than 1.2"),
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": (
        "insufficient_security",
        "{host} demands stronger ciphers than this host has",
    ),
}
_HANDSHAKE_REASONS: dict[str, tuple[str, str]] = {
    "WRONG_VERSION_NUMBER": ("not_tls", "{host} does not speak TLS on this port"),
    "HTTP_REQUEST": ("not_tls", "{host} does not speak TLS on this port"),
    "UNKNOWN_PROTOCOL": ("not_tls", "{host} does not speak TLS on this port"),
    "RECORD_LAYER_FAILURE": ("not_tls", "{host} does not speak TLS on this port"),
    "PACKET_LENGTH_TOO_LONG": ("not_tls", "{host} does not speak TLS on this port"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "certificate_required",
        "{host} demands a client certificate",
    ),
    "TLSV1_UNRECOGNIZED_NAME": ("unrecognized_name", "the server knows no host named {host}"),
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": (
        "no_application_protocol",
        "{host} does not offer HTTP/1.1",
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": (
        "certificate_refused",
        "{host} refuses the client certificate, or demands one",
    ),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "handshake_failure",
        "{host} and this host have no cipher or version in common (handshake_failure)",
    ),
}


def explain(
    error: BaseException, host: str, certificate: Certificate | None, sent: int
) -> tuple[Failure, str, str]:
    """Return failure, detail and sentence for a handshake with `host` that failed with `error`.

    `certificate` is what the server showed, where it is known, and `sent` how many certificates
    it sent (0: unknown).
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, host, certificate, sent)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _WEAK_REASONS:
            word, sentence = _WEAK_REASONS[reason]
            return Failure.TLS_WEAK, word, sentence.format(host=host)
        word, sentence = _HANDSHAKE_REASONS.get(
            reason,
            (reason.lower() or "failed", "the TLS handshake with {host} failed: " + _words(error)),
        )
        return Failure.TLS_HANDSHAKE, word, sentence.format(host=host)
    if isinstance(error, ConnectionError) and error.errno is not None:
        return (
            Failure.TLS_HANDSHAKE,
            "reset",
            f"{host} reset the connection during the TLS handshake",
        )
    return (
        Failure.TLS_HANDSHAKE,
        "closed",
        f"{host} closed the connection during the TLS handshake",
    )


def _unverified(
    error: ssl.SSLCertVerificationError, host: str, certificate: Certificate | None, sent: int
) -> tuple[Failure, str, str]:
    code = error.verify_code
    if code in {62, 63, 64}:
        return Failure.TLS_HOSTNAME, "name_mismatch", wrong_name(host, certificate)
    if code == 10:
        return Failure.TLS_EXPIRED, *expired(host, certificate)
    if code == 9:
        return Failure.TLS_NOT_YET_VALID, "not_yet_valid", not_yet(host, certificate)
    if code in _WEAK_CODES:
        word, sentence = _WEAK_CODES[code]
        return Failure.TLS_WEAK, word, sentence.format(host=host)
    alone = certificate is not None and not certificate.self_signed and sent == 1
    if code == 20 and alone:
        # The server sent its own certificate and nothing that leads to a root.
        code = 21
    word, sentence = _UNTRUSTED.get(
        code,
        (f"verify_{code}", f"it could not be verified: {error.verify_message}"),
    )
    issuer = certificate.issuer if certificate is not None else "(unknown)"
    return (
        Failure.TLS_UNTRUSTED,
        word,
        f"the certificate of {host} is not trusted: {sentence.format(issuer=issuer)}",
    )


def wrong_name(host: str, certificate: Certificate | None) -> str:
    """Return the sentence for a certificate that is for others."""
    if certificate is None:
        return f"the certificate is not for {host}"
    if not certificate.names:
        return f"the certificate names no host at all, so it is not for {host}"
    listed = ", ".join(certificate.names[:5])
    more = f" and {len(certificate.names) - 5} more" if len(certificate.names) > 5 else ""
    return f"the certificate is for {listed}{more}, not for {host}"


def expired(host: str, certificate: Certificate | None) -> tuple[str, str]:
    """Return detail and sentence for one that has ended."""
    if certificate is None:
        return "expired", f"the certificate of {host}, or one in its chain, has expired"
    return "expired", f"the certificate of {host} expired on {_day(certificate.not_after)}"


def not_yet(host: str, certificate: Certificate | None) -> str:
    """Return the sentence for one that begins later: our own clock may be what is wrong."""
    clock = "if that is not in the future, the clock of this host is wrong"
    if certificate is None:
        return f"the certificate of {host} is not valid yet; {clock}"
    return f"the certificate of {host} is valid from {_day(certificate.not_before)}; {clock}"


def _day(at: int) -> str:
    return rfc3339(at - at % 1000).replace("T", " ").replace("Z", " UTC")


def _words(error: ssl.SSLError) -> str:
    return (error.reason or error.strerror or "no reason given").replace("_", " ").lower()
