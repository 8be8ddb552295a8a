"""The page behind the link in a message: one button that acknowledges an incident.

Opening the link changes nothing, so that a mail server's link scanner does nothing; the button
does. Whoever has the link may use it until it expires; nobody needs to sign in at night.
"""

from __future__ import annotations

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.user import Actor
from netpulse.storage import acknowledging, channels, incidents, orgs
from netpulse.storage.acknowledging import Acknowledged
from netpulse.storage.db import Conn
from netpulse.storage.incidents import AlreadyOver
from netpulse.web.api import incident_acts as api
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError, too_many
from netpulse.web.languages import mark, say
from netpulse.web.pages.render import outside, with_secret_address
from netpulse.web.pages.rows import incident_row
from netpulse.web.proxies import bucket
from netpulse.web.session import Deed


class _About(Struct, frozen=True):
    incident: Incident
    channel_name: str | None
    """None: of a channel that is gone."""


def _about(conn: Conn, incident_id: Id, channel_id: Id) -> _About | None:
    """Return what a link is about, or None; the token vouches for the organization."""
    incident = incidents.anywhere(conn, incident_id)
    if incident is None:
        return None
    org = orgs.get(conn, incident.org_id)
    if org is None or org.deleted_at is not None:
        return None
    channel = channels.get(conn, incident.org_id, channel_id)
    return _About(incident, None if channel is None else channel.name)


async def _found(call: Call) -> _About:
    """Return what the link is about.

    Raises:
        ApiError: 404 for a link that is not ours or has expired, 429 for too many of those.
    """
    token = call.request.path_params["token"]
    named = call.house.links.read(token, now=call.now) if len(token) <= 200 else None
    about = None if named is None else await call.house.db.read(_about, *named)
    if about is None:
        rate, at = call.house.rates.stray_links, call.house.clock.monotonic()
        wait = rate.wait(bucket(call.origin.ip), at)
        if wait:
            raise too_many(wait, "Too many unknown links; wait as long as Retry-After says")
        raise ApiError(
            404,
            "NOT_FOUND",
            mark(
                "This link is not complete, or it has expired: it lasts 3 days. Acknowledge on the"
                " incident's page"
            ),
        )
    return about


def _shown(call: Call, about: _About, *, done: bool = False) -> Response[bytes]:
    incident = about.incident
    response = outside(
        call,
        "acknowledge.html",
        incident=incident_row(incident, call.now),
        is_open=incident.resolved_at is None,
        done=done,
        channel_name=about.channel_name or say("a channel that is gone"),
    )
    return with_secret_address(call, response)


@page("GET", "/acknowledge/{token:str}", access=PUBLIC)
async def ask(call: Call) -> Response[bytes]:
    """Say what it is about, and offer the button."""
    return _shown(call, await _found(call))


@page("POST", "/acknowledge/{token:str}", access=PUBLIC)
async def acknowledge(call: Call) -> Response[bytes]:
    """Acknowledge it as whoever got the message."""
    about = await _found(call)
    incident = about.incident
    stranger = call.stranger
    # It is written into the story, and reads there in English for everybody.
    by = f"the link sent by {about.channel_name or 'a channel that is gone'}"
    actor = Actor(kind="system", label=by, ip=stranger.ip, user_agent=stranger.user_agent)

    def work(conn: Conn) -> Acknowledged:
        deed = Deed(conn, incident.org_id, actor, call.now)
        done = acknowledging.acknowledge(
            conn, incident.org_id, incident.id, by=by, via="link", now=call.now
        )
        api.note_acknowledged(deed, done)
        return done

    try:
        done = await call.house.db.write(work)
    except AlreadyOver:
        return _shown(call, await _found(call))
    api.tell_acknowledged(call.house, done)
    return _shown(call, _About(done.incident, about.channel_name), done=True)


ROUTES = (ask, acknowledge)
