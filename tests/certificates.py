"""Certificates of every kind for test servers: good ones, and those that must be told apart."""

from __future__ import annotations

import datetime
import functools
import ssl
import tempfile
import warnings
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority of ours, with a certificate of each kind for localhost."""

    def __init__(self) -> None:
        self.ca = trustme.CA(organization_name="Test Authority")

    @property
    def pem(self) -> str:
        """The root, for `ca_certificate`."""
        return self.ca.cert_pem.bytes().decode()

    def good(self, *names: str) -> ssl.SSLContext:
        """A server with a certificate for `names` (default: localhost and 127.0.0.1)."""
        return served(self.ca.issue_cert(*(names or ("localhost", "127.0.0.1"))))

    def expired(self, days: int = 3) -> ssl.SSLContext:
        """It ended `days` ago."""
        return served(
            self.ca.issue_cert("localhost", not_before=NOW - 90 * DAY, not_after=NOW - days * DAY)
        )

    def expiring(self, days: int) -> ssl.SSLContext:
        """It ends in `days`."""
        return served(self.ca.issue_cert("localhost", not_after=NOW + days * DAY))

    def not_yet_valid(self) -> ssl.SSLContext:
        """It begins in ten days."""
        return served(
            self.ca.issue_cert("localhost", not_before=NOW + 10 * DAY, not_after=NOW + 90 * DAY)
        )

    def incomplete(self) -> ssl.SSLContext:
        """Issued by an intermediate that the server does not send."""
        issued = self.ca.create_child_ca().issue_cert("localhost")
        return from_pem(issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes())

    def complete(self) -> ssl.SSLContext:
        """The same, sent as it should be."""
        return served(self.ca.create_child_ca().issue_cert("localhost"))

    def expired_intermediate(self) -> ssl.SSLContext:
        """A good certificate below an intermediate that has expired."""
        root_key = self.ca.private_key_pem.bytes()
        key = new_key()
        root = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        signer = serialization.load_pem_private_key(root_key, None)
        middle = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old Middle")]))
            .issuer_name(root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 90 * DAY)
            .not_valid_after(NOW - DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(signer, hashes.SHA256())  # type: ignore[arg-type]
        )
        leaf_key = new_key()
        leaf = (
            builder("localhost", leaf_key, issuer=middle.subject)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        return from_pem(pem(leaf) + pem(middle) + key_pem(leaf_key))

    def common_name_only(self) -> ssl.SSLContext:
        """Names localhost in its subject and nowhere else."""
        key = new_key()
        root = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        leaf = builder("localhost", key, issuer=root.subject).sign(
            signer,  # type: ignore[arg-type]
            hashes.SHA256(),
        )
        return from_pem(pem(leaf) + key_pem(key))

    def weak_key(self) -> ssl.SSLContext:
        """RSA with 1024 bits."""
        key = new_key(1024)
        root = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        leaf = (
            builder("localhost", key, issuer=root.subject)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(signer, hashes.SHA256())  # type: ignore[arg-type]
        )
        context = server_context()
        # The server's own library refuses to serve it otherwise.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        return from_pem(pem(leaf) + key_pem(key), context)

    def old_protocol(self) -> ssl.SSLContext:
        """Speaks TLS 1.1 at best."""
        context = server_context()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings():
            # That is the point of it.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        return served(self.ca.issue_cert("localhost"), context)

    def demanding(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Demands a client certificate of this authority."""
        context = self.good()
        context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.pem)
        return context

    def client(self) -> tuple[str, str]:
        """A client certificate and its key, in PEM."""
        issued = self.ca.issue_cert("client@example.org")
        return issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()


_SHA256_RSA = bytes.fromhex("2a864886f70d01010b")
_SHA1_RSA = bytes.fromhex("2a864886f70d010105")


@functools.cache
def weakly_signed() -> tuple[ssl.SSLContext, str]:
    """A server whose good certificate was signed with SHA-1, and its authority in PEM.

    No library signs so any more: the digest's name is changed in a good one, and signed anew.
    """
    ca_key, key = new_key(), new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old Authority")])
    root = (
        builder("Old Authority", ca_key, issuer=name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    modern = (
        builder("localhost", key, issuer=name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    signed = modern.tbs_certificate_bytes.replace(_SHA256_RSA, _SHA1_RSA)
    signature = ca_key.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    der = (
        modern.public_bytes(serialization.Encoding.DER)
        .replace(modern.tbs_certificate_bytes, signed)
        .replace(_SHA256_RSA, _SHA1_RSA)
        .replace(modern.signature, signature)
    )
    leaf = x509.load_der_x509_certificate(der)
    context = server_context()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return from_pem(pem(leaf) + key_pem(key), context), pem(root).decode()


@functools.cache
def self_signed() -> tuple[ssl.SSLContext, str]:
    """A server with a certificate that is its own issuer, and that certificate in PEM."""
    key = new_key()
    leaf = (
        builder("localhost", key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return from_pem(pem(leaf) + key_pem(key)), pem(leaf).decode()


def builder(
    name: str, key: rsa.RSAPrivateKey, issuer: x509.Name | None = None
) -> x509.CertificateBuilder:
    """Return the beginning of a certificate for `name`, valid for 60 days."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 60 * DAY)
    )


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key."""
    return rsa.generate_private_key(65_537, bits)


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return a key in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def server_context() -> ssl.SSLContext:
    """Return an empty server context."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def served(leaf: trustme.LeafCert, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Return a server context with `leaf` and its chain."""
    context = context or server_context()
    leaf.configure_cert(context)
    return context


def from_pem(data: bytes, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Return a server context with the chain and key in `data`."""
    context = context or server_context()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_bytes(data)
        context.load_cert_chain(file)
    return context
