"""Pings of jobs: our own addresses, and those of other products that jobs may know already.

Strangers may use all of these: the token is what they know. A GET changes state here by design, so
that `curl URL` is all that a crontab needs. A token that is nobody's is answered as any address
that does not exist.
"""

from __future__ import annotations

import math
import re
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from netpulse.model.ids import is_id
from netpulse.model.push import Ping, PingKind
from netpulse.rules import push
from netpulse.storage import pushes
from netpulse.storage.pushes import Pushed
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import of_status, too_many
from netpulse.web.proxies import bucket

LONGEST_TOKEN = 200
LONGEST_RUN_MS = 366 * 86_400_000.0


async def _of_token(call: Call, token: str) -> Pushed | None:
    """Return whose a token is, or None.

    Raises:
        ApiError: 429 for too many of one monitor, or too many unknown ones of one address.
    """
    token = token.lower() if is_id(token.lower()) else token
    found = None
    if 0 < len(token) <= LONGEST_TOKEN:
        found = await call.house.db.read(pushes.find, token)
    rates, at = call.house.rates, call.house.clock.monotonic()
    wait = (
        rates.stray_pings.wait(bucket(call.origin.ip), at)
        if found is None
        else rates.pings.wait(found.monitor_id, at)
    )
    if wait:
        raise too_many(wait, "Too many pings; wait as long as Retry-After says")
    return found


async def _told(call: Call, what: str) -> Response[bytes]:
    """Take a ping of ours (or of Healthchecks'); `what` is the part behind the token."""
    # Before the body is waited for: a stranger's is nobody's to read.
    found = await _of_token(call, call.request.path_params["token"])
    ping = None if found is None else await _read(call, what)
    if ping is None or found is None or not await call.house.engine.ping(found.monitor_id, ping):
        raise of_status(404)
    return Response(b"OK", media_type="text/plain")


async def _read(call: Call, what: str) -> Ping | None:
    """Return the ping that a request is, or None for an address that does not exist."""
    text = push.shortened(
        (await call.request.body())[: push.LONGEST_TEXT].decode("utf-8", "replace")
    )
    if what in {"", "start", "fail", "log"}:
        return Ping(kind=PingKind(what) if what else PingKind.UP, text=text)
    if re.fullmatch(r"[0-9]{1,3}", what) is None or int(what) > 255:
        return None
    return Ping(kind=PingKind.UP, exit_status=int(what), text=text)


def _forms(
    path: str, answer: Any, name: str, methods: tuple[str, ...]
) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of one address (HEAD comes as GET)."""

    def handler(method: str) -> HTTPRouteHandler:
        async def handle(call: Call) -> Response[bytes]:
            result: Response[bytes] = await answer(call)
            return result

        handle.__name__ = f"{name}_{method.lower()}"
        return page(method, path, access=PUBLIC, counts=False)(handle)

    return tuple(handler(method) for method in methods)


async def _ping(call: Call) -> Response[bytes]:
    return await _told(call, "")


async def _ping_more(call: Call) -> Response[bytes]:
    return await _told(call, call.request.path_params["what"])


# Uptime Kuma


async def _kuma(call: Call) -> Response[bytes]:
    given = call.request.query_params
    found = await _of_token(call, call.request.path_params["token"])
    is_up = str(given.get("status", "up")) == "up"
    ping = Ping(
        kind=PingKind.UP if is_up else PingKind.FAIL,
        text=push.shortened(str(given.get("msg", ""))[: push.LONGEST_TEXT]),
        took_ms=_milliseconds(str(given.get("ping", ""))),
    )
    if found is None or not await call.house.engine.ping(found.monitor_id, ping):
        body = b'{"ok":false,"msg":"Monitor not found or not active."}'
        return Response(body, status_code=404, media_type="application/json")
    return Response(b'{"ok":true}', media_type="application/json")


def _milliseconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and 0 <= found <= LONGEST_RUN_MS else None


# Gatus


async def _gatus(call: Call) -> Response[bytes]:
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _plain(401, b"bearer token must not be empty")
    given = call.request.query_params
    success = str(given.get("success", "")).lower()
    if success not in {"true", "false"}:
        return _plain(400, b"missing or invalid success value")
    duration = str(given.get("duration", ""))
    took_ms = _go_duration(duration) if duration else None
    if duration and took_ms is None:
        return _plain(400, b"invalid duration")
    found = await _of_token(call, token.strip())
    ping = Ping(
        kind=PingKind.UP if success == "true" else PingKind.FAIL,
        text=push.shortened(str(given.get("error", ""))[: push.LONGEST_TEXT]),
        took_ms=took_ms,
    )
    key = str(call.request.path_params["key"]).lower()
    if found is None or key != gatus_key(found.group, found.name):
        return _plain(404, b"not found")
    if not await call.house.engine.ping(found.monitor_id, ping):
        return _plain(404, b"not found")
    return _plain(200, b"")


def gatus_key(group: str, name: str) -> str:
    """Return the key that Gatus makes of an endpoint's group and name."""
    return "_".join(re.sub(r"[ /_,.#+&]", "-", part.strip().lower()) for part in (group, name))


_GO_UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
_GO_PART = r"([0-9]{1,15}(?:\.[0-9]{0,9})?)(ns|us|µs|ms|s|m|h)"


def _go_duration(text: str) -> float | None:
    """Return the milliseconds of a duration as Go writes it: 1m30s, 250ms."""
    if re.fullmatch(f"(?:{_GO_PART})+", text[:100]) is None or len(text) > 100:
        return None
    took = sum(float(number) * _GO_UNITS[unit] for number, unit in re.findall(_GO_PART, text))
    return took if took <= LONGEST_RUN_MS else None


def _plain(status: int, body: bytes) -> Response[bytes]:
    return Response(body, status_code=status, media_type="text/plain")


ROUTES: tuple[HTTPRouteHandler, ...] = (
    *_forms("/ping/{token:str}", _ping, "ping", ("GET", "POST")),
    *_forms("/ping/{token:str}/{what:str}", _ping_more, "ping_more", ("GET", "POST")),
    *_forms("/api/push/{token:str}", _kuma, "kuma", ("GET", "POST")),
    *_forms("/api/v1/endpoints/{key:str}/external", _gatus, "gatus", ("POST",)),
)
