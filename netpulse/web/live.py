"""GET /live: what happens, as a stream of server-sent events, to whoever may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from litestar.response import Stream
from msgspec import Struct

from netpulse.engine.live import Subscription
from netpulse.model.ids import is_id
from netpulse.model.time import Millis
from netpulse.storage.db import StorageTrouble
from netpulse.web import auth, streams
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import ApiError, Problem, forbidden, invalid, too_many
from netpulse.web.streams import Ended

MAX_IDS = 500


class LiveQuery(Struct, frozen=True, kw_only=True):
    """What a page shows."""

    ids: str | None = None
    """The monitors it shows, separated by commas; absent: all of the organization."""
    np_org: str | None = None
    """The organization that the page is of: see `web.page_org`."""


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
    if call.house.streams.is_full(call.session.user.id):
        raise too_many(30, "Too many open pages; close some")
    subscription = call.house.engine.live.subscribe(call.session.org_id, visible)
    return Stream(
        _frames(call, subscription),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _frames(call: Call, subscription: Subscription) -> AsyncIterator[bytes]:
    house, session = call.house, call.session

    async def again() -> Millis | None:
        try:
            found = await auth.identify(call.request)
        except (ApiError, StorageTrouble):
            raise Ended from None
        if (found.user.id, found.org_id, found.role) != (
            session.user.id,
            session.org_id,
            session.role,
        ):
            # The browser comes back by itself, with what it may see then.
            raise Ended
        return found.ends_at

    leaving = call.request.scope["state"].get("leaving")
    stream = streams.Stream(session.user.id, session.ends_at, again, subscription.end, leaving)
    # Many that are asked for at once have all found room for one more.
    if not house.streams.enter(stream, house.db, house.clock, house.stopping):
        subscription.end()
        return
    try:
        # Something at once, so that proxies and browsers know that the stream is open.
        yield b"retry: 2000\n\n"
        async for frame in subscription.frames():
            yield frame
    finally:
        house.streams.leave(stream)
        subscription.end()


ROUTES = (live,)
