"""Certificates with their keys, as files for our own TLS: of every kind that people have."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)

Key = Any
"""A private key of any kind."""


class Files(NamedTuple):
    """Where a pair lies."""

    certificate: Path
    key: Path


def rsa_key(bits: int = 2048, exponent: int = 65_537) -> rsa.RSAPrivateKey:
    """Return an RSA key."""
    return rsa.generate_private_key(exponent, bits)


def issue(
    key: Key,
    *,
    name: str = "localhost",
    days: tuple[int, int] = (-1, 60),
    with_names: bool = True,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    issuer: tuple[x509.Certificate, Key] | None = None,
) -> x509.Certificate:
    """Return a certificate for `key`, its own issuer's or of `issuer`'s; `days` is when it begins
    and ends, from today."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if with_names:
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(names, critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer[1] if issuer else key
    without_hash = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(signer, None if without_hash else hashes.SHA256())


def key_pem(key: Key, form: str = "pkcs8", password: bytes | None = None) -> bytes:
    """Return a key as PEM: "pkcs8", or "own" for the older form of its kind."""
    formats = {
        "pkcs8": serialization.PrivateFormat.PKCS8,
        "own": serialization.PrivateFormat.TraditionalOpenSSL,
    }
    closed: serialization.KeySerializationEncryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password)
    )
    return bytes(key.private_bytes(serialization.Encoding.PEM, formats[form], closed))


def pem(*chain: x509.Certificate) -> bytes:
    """Return certificates as PEM."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def put(folder: Path, certificate: bytes, key: bytes) -> Files:
    """Write both files as certbot does: whole, under another name first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "fullchain.pem", folder / "privkey.pem")
    for path, held in zip(files, (certificate, key), strict=True):
        draft = path.with_suffix(".new")
        draft.write_bytes(held)
        draft.replace(path)
    return files


def good(folder: Path, name: str = "localhost", **options: Any) -> Files:
    """Put a pair that can be served."""
    key = ec.generate_private_key(ec.SECP256R1())
    return put(folder, pem(issue(key, name=name, **options)), key_pem(key))


def chained(folder: Path) -> Files:
    """Put a pair with a certificate between it and its root, which is not among them."""
    root_key, middle_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = ((x509.BasicConstraints(ca=True, path_length=None), True),)
    root = issue(root_key, name="Root", with_names=False, extra=ca)
    middle = issue(middle_key, name="Middle", with_names=False, extra=ca, issuer=(root, root_key))
    leaf = issue(key, issuer=(middle, middle_key))
    return put(folder, pem(leaf, middle), key_pem(key))


def _of(make: Callable[[], Key], form: str = "pkcs8", **options: Any) -> Callable[[Path], Files]:
    def made(folder: Path) -> Files:
        key = make()
        return put(folder, pem(issue(key, **options)), key_pem(key, form))

    return made


def _one_file(order: str) -> Callable[[Path], Files]:
    def made(folder: Path) -> Files:
        key = rsa_key()
        parts = {"certificate": pem(issue(key)), "key": key_pem(key)}
        held = b"# of both\n" + b"".join(parts[word] for word in order.split())
        file = put(folder, held, b"").certificate
        return Files(file, file)

    return made


def _with_parameters(folder: Path) -> Files:
    """As `openssl ecparam -genkey` writes it: the name of the curve, then the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    return put(folder, pem(issue(key)), parameters + key_pem(key, "own"))


_CRITICAL: tuple[tuple[x509.ExtensionType, bool], ...] = (
    (x509.BasicConstraints(ca=False, path_length=None), True),
    (
        x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        ),
        True,
    ),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True),
    (x509.SubjectAlternativeName([x509.DNSName("localhost")]), True),
)

SERVED: dict[str, Callable[[Path], Files]] = {
    "RSA 2048": _of(rsa_key),
    "RSA 3072": _of(lambda: rsa_key(3072)),
    "RSA 4096": _of(lambda: rsa_key(4096)),
    "RSA in its older form": _of(rsa_key, "own"),
    "P-256": _of(lambda: ec.generate_private_key(ec.SECP256R1())),
    "P-384": _of(lambda: ec.generate_private_key(ec.SECP384R1())),
    "EC in its older form": _of(lambda: ec.generate_private_key(ec.SECP256R1()), "own"),
    "EC with parameters": _with_parameters,
    "Ed25519": _of(ed25519.Ed25519PrivateKey.generate),
    "a chain": chained,
    "all in one file": _one_file("certificate key"),
    "all in one file, the key first": _one_file("key certificate"),
    "critical extensions": _of(rsa_key, with_names=False, extra=_CRITICAL),
    "without a name": _of(rsa_key, with_names=False, extra=_CRITICAL[:1]),
    "expired": _of(rsa_key, days=(-60, -1)),
    "not yet valid": _of(rsa_key, days=(1, 60)),
}
"""Pairs that can be served; browsers may have something against the last of them."""


def _unrelated(folder: Path) -> Files:
    return put(folder, pem(issue(rsa_key())), key_pem(rsa_key()))


def _issuer_first(folder: Path) -> Files:
    files = chained(folder)
    leaf, middle = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    return put(folder, pem(middle, leaf), files.key.read_bytes())


def _held(certificate: bytes | None = None, key: bytes | None = None) -> Callable[[Path], Files]:
    def made(folder: Path) -> Files:
        right = rsa_key()
        return put(
            folder,
            pem(issue(right)) if certificate is None else certificate,
            key_pem(right) if key is None else key,
        )

    return made


def _closed(form: str) -> Callable[[Path], Files]:
    def made(folder: Path) -> Files:
        key = rsa_key()
        return put(folder, pem(issue(key)), key_pem(key, form, b"secret"))

    return made


def _missing(number: int) -> Callable[[Path], Files]:
    def made(folder: Path) -> Files:
        files = good(folder)
        files[number].unlink()
        return files

    return made


def _folder(folder: Path) -> Files:
    files = good(folder)
    files.key.unlink()
    files.key.mkdir()
    return files


def _first_version(folder: Path) -> Files:
    """As `openssl x509 -req` without extensions makes it: X.509 version 1."""
    key = rsa_key()
    modern = issue(key, with_names=False)
    body = modern.tbs_certificate_bytes
    # Version 3 is written in five bytes at the beginning; version 1 by leaving them out.
    assert body[4:9] == bytes.fromhex("a003020102")
    return put(folder, pem(_resigned(_shorter(body, 4, 9), key)), key_pem(key))


def _shorter(body: bytes, start: int, end: int) -> bytes:
    size = int.from_bytes(body[2:4], "big") - (end - start)
    return body[:2] + size.to_bytes(2, "big") + body[4:start] + body[end:]


def _resigned(body: bytes, key: rsa.RSAPrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives.asymmetric import padding

    algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")
    signature = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
    bits = b"\x03" + b"\x82" + (len(signature) + 1).to_bytes(2, "big") + b"\0" + signature
    inner = body + algorithm + bits
    return x509.load_der_x509_certificate(b"\x30\x82" + len(inner).to_bytes(2, "big") + inner)


KIND = (
    "the key in {key} is of a kind that is not served; make one with RSA of 2048, 3072 or 4096 "
    "bits, ECDSA on P-256 or P-384, or Ed25519"
)
NO_CERTIFICATE = "{certificate} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
NO_KEY = "{key} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"
STRANGERS = (
    "the key in {key} does not belong to the first certificate in {certificate}; the server's own "
    "certificate comes first, those that issued it after it"
)
NO_NAME = (
    "the certificate in {certificate} names no host in the way that browsers read (X.509 version 3, "
    "subjectAltName); have it issued anew with one"
)
PASSWORD = "the key in {key} has a password; store it without one"

REFUSED: dict[str, tuple[Callable[[Path], Files], str]] = {
    "no certificate": (_missing(0), "{certificate} does not exist"),
    "no key": (_missing(1), "{key} does not exist"),
    "a folder": (_folder, "{key} cannot be read: Is a directory"),
    "nothing in it": (_held(certificate=b""), NO_CERTIFICATE),
    "no key in it": (_held(key=b""), NO_KEY),
    "noise": (_held(certificate=bytes(range(256))), NO_CERTIFICATE),
    "a key of noise": (_held(key=bytes(range(256))), NO_KEY),
    "half a certificate": (_held(certificate=pem(issue(rsa_key()))[:400]), NO_CERTIFICATE),
    "half a key": (_held(key=key_pem(rsa_key())[:400]), NO_KEY),
    "a key that is damaged": (
        _held(key=b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        "the key in {key} is damaged, or of a kind that is not served",
    ),
    "a large file": (
        _held(certificate=b"x" * 300_000),
        "{certificate} is larger than 256 KiB, which no certificate is",
    ),
    "strangers": (_unrelated, STRANGERS),
    "the issuer first": (_issuer_first, STRANGERS),
    "a password": (_closed("pkcs8"), PASSWORD),
    "a password in the older form": (_closed("own"), PASSWORD),
    "RSA 1024": (_of(lambda: rsa_key(1024)), KIND),
    "RSA 2304": (_of(lambda: rsa_key(2304)), KIND),
    "RSA with exponent 3": (_of(lambda: rsa_key(2048, 3)), KIND),
    "P-521": (_of(lambda: ec.generate_private_key(ec.SECP521R1())), KIND),
    "secp256k1": (_of(lambda: ec.generate_private_key(ec.SECP256K1())), KIND),
    "Ed448": (_of(ed448.Ed448PrivateKey.generate), KIND),
    "DSA": (_of(lambda: dsa.generate_private_key(2048)), KIND),
    "no extensions": (
        _of(rsa_key, with_names=False),
        NO_NAME,
    ),
    "version 1": (
        _first_version,
        NO_NAME,
    ),
    "an unknown demand": (
        _of(
            rsa_key,
            extra=(
                (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True),
            ),
        ),
        "the certificate in {certificate} demands something unknown (1.2.3.4)",
    ),
    "a demand about policies": (
        _of(rsa_key, extra=((x509.PolicyConstraints(0, None), True),)),
        "the certificate in {certificate} demands something unknown (2.5.29.36)",
    ),
}
"""Pairs that cannot be served, and what is said of each."""
