"""Telling others: one POST, with the same guard on addresses that checks have."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from netpulse import __version__
from netpulse.egress.answer import Answer
from netpulse.egress.refusals import explain
from netpulse.egress.resolver import Resolver
from netpulse.egress.tls import CONTEXTS, TlsOptions
from netpulse.egress.trouble import DialError, from_connect, from_local
from netpulse.model.check import Failure
from netpulse.rules.addresses import AddressPolicy, refusal
from netpulse.rules.targets import TargetError
from netpulse.rules.targets import url as read_url

BODY_SECONDS = 3.0
"""The longest that the rest of an answer is waited for once its status is known."""
USER_AGENT = f"NetPulse/{__version__}"


class _Way:
    """What the callbacks deep in aiohttp need to know of the post under way, and what they saw."""

    __slots__ = ("address", "blocked", "deadline", "family", "policy", "trouble")

    def __init__(self, policy: AddressPolicy, deadline: float) -> None:
        self.policy = policy
        self.deadline = deadline
        self.family: int = socket.AF_INET
        """Of the address that was dialled last."""
        self.address: str | None = None
        """The one that was dialled last."""
        self.blocked: str | None = None
        self.trouble: DialError | None = None


_WAY: contextvars.ContextVar[_Way] = contextvars.ContextVar("netpulse_egress_way")


class _Names(AbstractResolver):
    """Our resolver in aiohttp's clothes."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.addresses(host, int(family), _WAY.get().deadline)
        return [
            ResolveResult(
                hostname=host,
                host=address.text,
                port=port,
                family=address.family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Leave the resolver open: it is not ours."""


def _guarded_socket(info: AddrInfoType) -> socket.socket:
    """Make the socket for an address that is about to be dialled, if it may be.

    This is the last place that sees the very address: neither a literal in the URL nor a name
    that changes its mind gets around it. aiohttp goes on to the next address on an OSError only.
    """
    family, kind, proto, _, where = info
    way = _WAY.get()
    why = refusal(str(where[0]), int(where[1]), way.policy)
    if why is not None:
        way.blocked = why
        raise OSError(errno.EACCES, why)
    way.family, way.address = family, str(where[0])
    try:
        return socket.socket(family, kind, proto)
    except OSError as error:
        way.trouble = from_local(error)
        raise


class Poster:
    """The session that posts go through: no cookies, no kept connections."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout: float,  # noqa: ASYNC109  # a total for the far side, kept by ourselves
        policy: AddressPolicy,
        cap: int,
    ) -> Answer:
        """POST as `Egress.post` says."""
        try:
            target = read_url(url)
        except TargetError as error:
            raise DialError(
                Failure.INTERNAL, "bad_url", f"the URL cannot be used: {error}"
            ) from None
        host = target.raw_host or ""
        tls = TlsOptions(swift=True)
        context = await CONTEXTS.get(tls) if target.scheme == "https" else True
        way = _Way(policy, asyncio.get_running_loop().time() + timeout)
        token = _WAY.set(way)
        try:
            async with (
                asyncio.timeout_at(way.deadline),
                self._opened().post(
                    target,
                    data=body,
                    headers={"User-Agent": USER_AGENT, **headers},
                    allow_redirects=False,
                    ssl=context,
                ) as answer,
            ):
                return Answer(
                    answer.status,
                    await _read_capped(answer, cap, way.deadline),
                    _retry_after(answer.headers.get("Retry-After")),
                    way.address,
                )
        except TimeoutError:
            raise DialError(
                Failure.TIMEOUT, None, f"{host} did not answer within {timeout:g} s"
            ) from None
        except aiohttp.ClientError as error:
            raise _in_words(error, way, host, target.port or 80) from None
        except ValueError as error:
            # aiohttp refuses a header with a line break in it, and its like.
            sentence = f"the request cannot be written: {error}"
            raise DialError(Failure.INTERNAL, "bad_request", sentence) from None
        finally:
            _WAY.reset(token)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Names(self._resolver),
                use_dns_cache=False,
                force_close=True,
                limit=0,
                socket_factory=_guarded_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                max_line_size=65_536,
                max_field_size=65_536,
                auto_decompress=True,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the session, if there ever was one."""
        if self._session is not None:
            await self._session.close()


def _in_words(error: aiohttp.ClientError, way: _Way, host: str, port: int) -> DialError:
    """Return what one of aiohttp's errors means. Certificate errors come first: they are the
    others' children.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return DialError(*explain(error.certificate_error, host, None, 0))
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return DialError(*explain(error.os_error, host, None, 0))
    if isinstance(error, aiohttp.ClientConnectorError):
        return way.trouble or _unconnected(error.os_error, way, host, port)
    if isinstance(error, aiohttp.ClientPayloadError):
        sentence = f"{host} closed the connection inside its answer"
        return DialError(Failure.CLOSED, "body", sentence)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return DialError(Failure.CLOSED, None, f"{host} closed the connection without answering")
    if isinstance(error, aiohttp.ClientOSError):
        return DialError(Failure.RESET, None, f"{host} broke the connection off")
    if isinstance(error, aiohttp.ClientResponseError):
        # Its `status` is 400 whatever the server said: it means that aiohttp could not parse.
        sentence = f"{host} sent an invalid HTTP answer: {error.message}"
        return DialError(Failure.PROTOCOL, None, sentence)
    raise error


def _unconnected(error: OSError, way: _Way, host: str, port: int) -> DialError:
    if way.blocked is not None and way.blocked in str(error):
        return DialError(Failure.BLOCKED, None, way.blocked)
    if isinstance(error, ConnectionError) and error.errno is None:
        return DialError(*explain(error, host, None, 0))
    if error.errno is None:
        # Several addresses failed in different ways; the text names them all.
        return DialError(Failure.UNREACHABLE, None, f"{host} cannot be reached: {error}")
    return from_connect(error, way.family, host, port)


async def _read_capped(answer: aiohttp.ClientResponse, cap: int, deadline: float) -> bytes:
    """Read at most `cap` decoded bytes; a bomb unpacks no further than that.

    The status is the answer: a body that breaks off, or never ends, takes nothing from it. What
    was taken would else be sent again, to somebody who has it.
    """
    parts: list[bytes] = []
    size = 0
    # A little before the deadline of the whole, which would throw the status away too.
    end = min(deadline - 0.1, asyncio.get_running_loop().time() + BODY_SECONDS)
    try:
        async with asyncio.timeout_at(end):
            async for part in answer.content.iter_chunked(16_384):
                parts.append(part[: cap - size])
                size += len(part)
                if size >= cap:
                    break
    except (TimeoutError, aiohttp.ClientError):
        pass
    return b"".join(parts)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, given as seconds or as a date."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
