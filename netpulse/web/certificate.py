"""The certificate that NetPulse serves TLS with: read, and looked at before anybody serves it.

The server below ends the whole process when it is given a pair that it cannot use. So what reaches
it was read once, was found to be of the kinds it takes, and is written anew in the plainest form;
it never reads the files themselves, which may be half written at that moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID
from msgspec import Struct

from netpulse.model.time import SECOND, Millis, rfc3339

MAX_BYTES = 256 * 1024
"""A chain with its key has some 10 KB."""
SOON_DAYS = 14
"""From so many days before its end on, the end of a certificate is mentioned in the log."""

_KEY = re.compile(
    rb"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----.+?-----END \1-----",
    re.DOTALL,
)
_RSA_BITS = (2048, 3072, 4096)
_CURVES = ("secp256r1", "secp384r1")
_TAKEN = "RSA of 2048, 3072 or 4096 bits, ECDSA on P-256 or P-384, or Ed25519"
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
}
"""What a certificate may mark as critical."""
_EXTENSIONS_TAG = b"\xa3"


class Unusable(Exception):
    """The pair cannot be served; the text is one line for the operator."""


class Pair(Struct, frozen=True, kw_only=True):
    """A certificate with its chain and its key, ready to be served."""

    chain: bytes
    """PEM, the server's own certificate first."""
    key: bytes
    """PEM (PKCS #8); never printed."""
    source: bytes
    """What the files held: equal for a pair that has not changed."""
    not_before: Millis
    not_after: Millis
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Pair(names={self.names!r}, …)"


def read(certificate: Path, key: Path) -> Pair:
    """Return the pair in two PEM files, which may be one and the same.

    Raises:
        Unusable: a file is missing or cannot be read, the two do not belong together, or they are
            of a kind that cannot be served. Dates are looked at by `date_problem`.
    """
    held, held_key = _bytes(certificate), _bytes(key)
    chain = _chain(certificate, held)
    private = _private(key, held_key)
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    leaf = chain[0]
    signed = leaf.tbs_certificate_bytes
    at = signed.find(public)
    if at < 0:
        raise Unusable(
            f"the key in {key} does not belong to the first certificate in {certificate}; the "
            "server's own certificate comes first, those that issued it after it"
        )
    _refuse_odd(certificate, leaf, signed[at + len(public) :])
    return Pair(
        chain=b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        source=held + b"\0" + held_key,
        not_before=_millis(leaf.not_valid_before_utc),
        not_after=_millis(leaf.not_valid_after_utc),
        names=_names(leaf),
    )


def date_problem(pair: Pair, now: Millis) -> str | None:
    """Return why browsers refuse the certificate at this moment, as a sentence, or None."""
    if pair.not_after <= now:
        return f"the certificate has expired on {rfc3339(pair.not_after)}"
    if pair.not_before > now:
        return f"the certificate is not valid before {rfc3339(pair.not_before)}"
    return None


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            held = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Unusable(f"{path} does not exist") from None
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from None
    if len(held) > MAX_BYTES:
        raise Unusable(f"{path} is larger than {MAX_BYTES // 1024} KiB, which no certificate is")
    return held


def _chain(path: Path, held: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(held)
    except ValueError:
        raise Unusable(
            f"{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        ) from None


def _private(
    path: Path, held: bytes
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    found = _KEY.search(held)
    if found is None:
        if b"ENCRYPTED PRIVATE KEY" in held:
            raise Unusable(f"the key in {path} has a password; store it without one")
        raise Unusable(f"{path} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")
    try:
        private = load_pem_private_key(found[0], None)
    except TypeError:
        raise Unusable(f"the key in {path} has a password; store it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable(f"the key in {path} is damaged, or of a kind that is not served") from None
    match private:
        case rsa.RSAPrivateKey():
            numbers = private.private_numbers()
            even = numbers.p.bit_length() == numbers.q.bit_length()
            if private.key_size in _RSA_BITS and even and numbers.public_numbers.e == 65_537:
                return private
        case ec.EllipticCurvePrivateKey():
            if private.curve.name in _CURVES:
                return private
        case ed25519.Ed25519PrivateKey():
            return private
    raise Unusable(f"the key in {path} is of a kind that is not served; make one with {_TAKEN}")


def _refuse_odd(path: Path, leaf: x509.Certificate, behind_the_key: bytes) -> None:
    """Refuse a certificate of ours that the server below, or every browser, does not take."""
    try:
        extensions = list(leaf.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Unusable(f"the certificate in {path} is damaged") from None
    if leaf.version is not x509.Version.v3 or not behind_the_key.startswith(_EXTENSIONS_TAG):
        raise Unusable(
            f"the certificate in {path} names no host in the way that browsers read "
            "(X.509 version 3, subjectAltName); have it issued anew with one"
        )
    odd = [each.oid.dotted_string for each in extensions if each.critical]
    odd = [oid for oid in odd if oid not in {each.dotted_string for each in _UNDERSTOOD}]
    if odd:
        raise Unusable(f"the certificate in {path} demands something unknown ({odd[0]})")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    )


def _millis(moment: datetime) -> Millis:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND
