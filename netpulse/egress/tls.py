"""TLS from the caller's side: shared contexts, the system's roots, and what a refusal means."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct

from netpulse.egress.trouble import DialError
from netpulse.model.check import Failure

CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL 7 and later
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, the BSDs, macOS
)
"""Where systems keep their roots. What OpenSSL was built with is the build host's path, which a
frozen executable finds empty elsewhere."""

MOST_CONTEXTS = 64
"""A context holds a parsed copy of every root, about 1.1 MB."""

# Servers without secure renegotiation (RFC 5746) are refused by OpenSSL 3 and accepted by
# browsers; what it protects from is renegotiating, which we never do.
_LEGACY_SERVER_CONNECT = 0x4


class TlsOptions(Struct, frozen=True):
    """What one kind of TLS connection wants; equal options share a context."""

    verify: bool = True
    ca_certificate: str | None = None
    """PEM, trusted beside the system's roots."""
    client_certificate: str | None = None
    client_key: str | None = None
    alpn: tuple[str, ...] = ()
    lax: bool = False
    """Take the oldest protocol and the weakest cipher: to read a certificate, never to trust."""
    swift: bool = False
    """Agree on keys by elliptic curves only, as browsers do: for handshakes on the loop itself with
    whoever strangers name, who could else choose a group that takes it a second."""


_ENCODING_DER = 2
"""As the inner object's certificates name it (_ssl.ENCODING_DER)."""


class _SslObject(Protocol):
    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...


_Making = tuple[asyncio.AbstractEventLoop, TlsOptions]


class Contexts:
    """The contexts of this process, made when first wanted and shared."""

    def __init__(self) -> None:
        self._made: OrderedDict[TlsOptions, ssl.SSLContext] = OrderedDict()
        self._making: dict[_Making, asyncio.Task[ssl.SSLContext]] = {}

    async def get(self, options: TlsOptions) -> ssl.SSLContext:
        """Return the context for `options`. Reading the roots takes 24 to 35 ms, in a thread.

        Raises:
            DialError: `internal`: the configured certificate or key cannot be used.
        """
        made = self._made.get(options)
        if made is not None:
            self._made.move_to_end(options)
            return made
        loop = asyncio.get_running_loop()
        task = self._making.get((loop, options))
        if task is None:
            task = loop.create_task(asyncio.to_thread(make_context, options))
            self._making[loop, options] = task
            task.add_done_callback(lambda done: self._finish((loop, options), done))
        return await asyncio.shield(task)

    def _finish(self, making: _Making, task: asyncio.Task[ssl.SSLContext]) -> None:
        del self._making[making]
        if not task.cancelled() and task.exception() is None:
            self._made[making[1]] = task.result()
            if len(self._made) > MOST_CONTEXTS:
                self._made.popitem(last=False)


CONTEXTS = Contexts()


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """Return a new context. It blocks: use `CONTEXTS.get` on the event loop.

    Not `ssl.create_default_context`: its strictness grows with Python (VERIFY_X509_STRICT in
    3.13 refuses certificates that curl and browsers accept), and a verdict must not.

    Raises:
        DialError: `internal`: the configured certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= _LEGACY_SERVER_CONNECT
    if hasattr(ssl, "OP_IGNORE_UNEXPECTED_EOF"):
        # Many servers just close. Whether a body is whole is told by its framing.
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    if options.lax:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
    if options.swift:
        names = [cipher["name"] for cipher in context.get_ciphers()]
        context.set_ciphers(":".join(name for name in names if name.startswith("ECDHE-")))
    if options.alpn:
        context.set_alpn_protocols(list(options.alpn))
    try:
        if options.verify:
            # RFC 9525: the common name is not a host name.
            context.hostname_checks_common_name = False
            # As curl has it: a pinned intermediate, or the server's own certificate, is enough.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(cafile=str(system_roots()))
            if options.ca_certificate:
                context.load_verify_locations(cadata=options.ca_certificate)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.client_certificate:
            with _as_file(options.client_certificate, options.client_key) as path:
                context.load_cert_chain(path, password=_no_password)
    except ssl.SSLError as error:
        what = "client certificate and key" if options.client_certificate else "CA certificate"
        raise DialError(
            Failure.INTERNAL,
            "certificate_unusable",
            f"the configured {what} cannot be used: {_reason(error)}",
        ) from None
    return context


@functools.cache
def system_roots() -> Path:
    """Return the file with the trusted roots: SSL_CERT_FILE, the system's, or the bundled one."""
    named = os.environ.get("SSL_CERT_FILE")
    if named and Path(named).is_file():
        return Path(named)
    for place in (*CA_FILES, ssl.get_default_verify_paths().cafile):
        if place and Path(place).is_file() and Path(place).stat().st_size > 0:
            return Path(place)
    import certifi

    return Path(certifi.where())


def peer_der(ssl_object: _SslObject | None) -> bytes | None:
    """Return the far side's certificate in DER, whether it was verified or not."""
    return None if ssl_object is None else ssl_object.getpeercert(True)


def peer_chain(ssl_object: Any) -> tuple[bytes, ...]:
    """Return the certificates that the far side sent, in DER and in its order: its own first.

    Empty where this Python cannot tell.
    """
    # Public from 3.13 on, and then in DER; before that on the inner object only.
    for holder in (ssl_object, getattr(ssl_object, "_sslobj", None)):
        method = getattr(holder, "get_unverified_chain", None)
        if method is not None:
            sent = method() or ()
            return tuple(
                one if isinstance(one, bytes) else one.public_bytes(_ENCODING_DER) for one in sent
            )
    return ()


@contextmanager
def _as_file(certificate: str, key: str | None) -> Iterator[str]:
    """Put a certificate and its key where OpenSSL can read them: it takes files only.

    In memory on Linux, else in a file of the owner's that is removed at once.
    """
    content = f"{certificate}\n{key or ''}\n".encode()
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("netpulse-client-certificate")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(prefix="netpulse-") as file:
        file.write(content)
        file.flush()
        yield file.name


def _no_password() -> str:
    """Answer OpenSSL's question for a key's password, which it would else ask on the terminal."""
    return ""


def _reason(error: ssl.SSLError) -> str:
    words = error.reason or re.sub(r"\s*\(\s*_?ssl\.c:\d+\)", "", str(error))
    return words.replace("_", " ").lower()
