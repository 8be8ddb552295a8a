"""Certificates and keys in a monitor's configuration (PEM, RFC 7468)."""

from __future__ import annotations

import functools

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

NO_CERTIFICATE = "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"


@functools.lru_cache(maxsize=64)
def certificates(pem: str) -> tuple[bytes, ...]:
    """Return the public keys (DER) of all certificates in a PEM text; empty if it has none."""
    try:
        return tuple(
            one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for one in x509.load_pem_x509_certificates(pem.encode())
        )
    except (ValueError, UnsupportedAlgorithm):
        return ()


def key_complaint(certificate: str, key: str) -> str | None:
    """Return what is wrong with the key (PEM) of a client certificate, or None."""
    try:
        private = load_pem_private_key(key.encode(), None)
    except TypeError:
        return "is encrypted; give it without a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        return "is not a private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    keys = certificates(certificate)
    if keys and public != keys[0]:
        return "does not belong to the client certificate"
    return None
