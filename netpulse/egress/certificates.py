"""What a certificate says, for whom it is, and whether anybody should rely on it."""

from __future__ import annotations

import functools
import hashlib
import ipaddress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from netpulse.model.check import Certificate, ChainLink

_BROKEN_DIGESTS = frozenset({"md2", "md4", "md5", "sha1"})
_OLD_SIGNATURES = {"1.2.840.113549.1.1.2": "md2", "1.2.840.113549.1.1.3": "md4"}


@functools.lru_cache(maxsize=2048)
def describe_chain(sent: tuple[bytes, ...]) -> Certificate:
    """Return what a server's own certificate says, with a summary of what it sent along.

    Raises:
        ValueError: its own cannot be parsed.
    """
    links: list[ChainLink] = []
    for der in sent:
        try:
            seen = describe_certificate(der)
        except ValueError:
            if not links:
                raise
            # One further up that only OpenSSL can read: the summary ends below it.
            break
        links.append(ChainLink(seen.subject, seen.issuer, seen.not_after))
    return replace(describe_certificate(sent[0]), chain=tuple(links))


@functools.lru_cache(maxsize=2048)
def describe_certificate(der: bytes) -> Certificate:
    """Return what a certificate (DER) says.

    Raises:
        ValueError: it cannot be parsed.
    """
    parsed = x509.load_der_x509_certificate(der)
    names: list[str] = []
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names.extend(
            str(name.value)
            for name in extension.value
            if isinstance(name, x509.DNSName | x509.IPAddress)
        )
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        # Foreign certificates break every rule; the dates are still worth telling.
        names = []

    return Certificate(
        subject=_called(parsed.subject, *names[:1]),
        issuer=_called(parsed.issuer),
        not_before=int(parsed.not_valid_before_utc.timestamp() * 1000),
        not_after=int(parsed.not_valid_after_utc.timestamp() * 1000),
        fingerprint=hashlib.sha256(der).hexdigest(),
        names=tuple(names),
        self_signed=parsed.subject == parsed.issuer,
        key=_key(parsed),
        signature=_signature(parsed),
    )


@functools.lru_cache(maxsize=2048)
def weakness(sent: tuple[bytes, ...]) -> tuple[str, str] | None:
    """Return why nobody should rely on a chain (DER, the server's own first), or None.

    The word refines `tls_weak`; the sentence has `{host}` in it. RSA and DSA keys below 2048 bits,
    elliptic curves below 224, signatures by MD5 or SHA-1 (the CA/Browser Forum's baseline
    requirements, 6.1.5 and 7.1.3). What a root signs of itself proves nothing and is left out.
    """
    for place, der in enumerate(sent):
        parsed = x509.load_der_x509_certificate(der)
        whose = "the certificate" if place == 0 else f"the certificate {_called(parsed.subject)}"
        kind, bits = _key_size(parsed)
        least = 224 if kind == "EC" else 2048
        if bits is not None and kind in {"RSA", "DSA", "EC"} and bits < least:
            return (
                "key_too_small" if place == 0 else "ca_key_too_small",
                f"{whose} of {{host}} has a key that is too small: {kind} with {bits} bits",
            )
        digest = _signature(parsed)
        if digest in _BROKEN_DIGESTS and (place == 0 or parsed.subject != parsed.issuer):
            shown = digest.upper().replace("SHA1", "SHA-1")
            return (
                "signature_too_weak",
                f"{whose} of {{host}} is signed with {shown}, which is broken",
            )
    return None


def names_host(der: bytes, host: str) -> bool:
    """Tell whether a certificate (DER) is for `host`, by its subject alternative names alone.

    RFC 9525: a name matches as it is written, case aside; `*` stands for one whole first label;
    an address only matches an address; the common name is no host name.
    """
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wanted = host.lower().removesuffix(".")
        parent = wanted.partition(".")[2]
        names = {name.lower() for name in found.value.get_values_for_type(x509.DNSName)}
        return wanted in names or ("." in parent and f"*.{parent}" in names)
    return address in found.value.get_values_for_type(x509.IPAddress)


def _key(parsed: x509.Certificate) -> str:
    kind, bits = _key_size(parsed)
    return kind if bits is None else f"{kind} {bits}"


def _key_size(parsed: x509.Certificate) -> tuple[str, int | None]:
    try:
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown", None
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC", key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA", key.key_size
    return type(key).__name__.lstrip("_").removesuffix("PublicKey"), None


def _signature(parsed: x509.Certificate) -> str:
    try:
        digest = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        # MD2 and MD4 are older than what the library knows by name.
        return _OLD_SIGNATURES.get(parsed.signature_algorithm_oid.dotted_string, "unknown")
    return "none of its own" if digest is None else digest.name


def _called(name: x509.Name, *others: str) -> str:
    """Return what a subject or issuer is called: its common name, one of `others`, or whatever."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    if common:
        return str(common[0].value)
    company = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return next(iter(others), None) or (str(company[0].value) if company else name.rfc4514_string())
