"""GET /live: what happens, as a stream of server-sent events, to whoever may see it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from litestar.response import Stream
from msgspec import Struct

from netpulse.engine.live import Subscription
from netpulse.model.ids import is_id
from netpulse.web import auth
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import ApiError, Problem, forbidden, invalid, too_many

RECHECK_SECONDS = 5.0
"""How long a stream may outlive the sign-in, the membership or the user it was opened with."""
STREAMS_PER_USER = 30
MAX_IDS = 500


class LiveQuery(Struct, frozen=True, kw_only=True):
    """What a page shows."""

    ids: str | None = None
    """The monitors it shows, separated by commas; absent: all of the organization."""


@page("GET", "/live", access=VIEWER)
async def live(call: Call) -> Stream:
    """Stream the events of the caller's organization until either side ends it."""
    headers = call.request.headers
    # EventSource sends the cookie wherever the page is from (CORS would only hide the answer).
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise forbidden("This stream is only for the pages of NetPulse itself")
    wanted = call.query(LiveQuery).ids
    visible = None if wanted is None else [text for text in wanted.split(",") if text]
    if visible is not None and (len(visible) > MAX_IDS or not all(map(is_id, visible))):
        raise invalid([Problem("?ids", f"give at most {MAX_IDS} ids, separated by commas")])
    counts, user_id = call.house.streams, call.session.user.id
    if counts.get(user_id, 0) >= STREAMS_PER_USER:
        raise too_many(30, "Too many open pages; close some")
    subscription = call.house.engine.live.subscribe(call.session.org_id, visible)
    return Stream(
        _frames(call, subscription),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _frames(call: Call, subscription: Subscription) -> AsyncIterator[bytes]:
    counts, user_id = call.house.streams, call.session.user.id
    counts[user_id] = counts.get(user_id, 0) + 1
    watch = asyncio.create_task(_end_in_time(call, subscription))
    try:
        # Something at once, so that proxies and browsers know that the stream is open.
        yield b"retry: 2000\n\n"
        async for frame in subscription.frames():
            yield frame
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        subscription.end()
        counts[user_id] -= 1
        if not counts[user_id]:
            del counts[user_id]


async def _end_in_time(call: Call, subscription: Subscription) -> None:
    """End the stream when the process stops, or when its reader may not read it any more."""
    org_id = call.session.org_id
    stopping = call.house.stopping
    while not stopping.is_set():
        try:
            async with asyncio.timeout(RECHECK_SECONDS):
                await stopping.wait()
        except TimeoutError:
            try:
                session = await auth.identify(call.request)
            except ApiError:
                break
            if session.org_id != org_id:
                break
    subscription.end()


ROUTES = (live,)
