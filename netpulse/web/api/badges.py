"""/v1/monitors/{id}/badges and /v1/public/badges: a monitor's own badges.

They are off until somebody switches them on; from then on whoever knows their address, which
cannot be guessed and says nothing of the monitor, sees its state and its figures.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response
from msgspec import Meta, Struct
from msgspec.structs import replace as with_changes

from netpulse.model.badge import Badge, BadgeFacts
from netpulse.model.board import PublicStatus
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.rules import badges as rules
from netpulse.storage import badges, monitors
from netpulse.storage.db import Conn
from netpulse.web import reading
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, PUBLIC, VIEWER, endpoint
from netpulse.web.envelope import NOTHING, One, encoded
from netpulse.web.errors import ApiError, not_found
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession
from netpulse.web.status import sending
from netpulse.web.status.rack import CACHED_SECONDS, new_badge_token
from netpulse.web.status.shelf import rendered

HEADERS = sending.ANYWHERE | {
    "Cache-Control": f"public, max-age={CACHED_SECONDS}",
    "Vary": "Accept-Encoding",
    "X-Robots-Tag": "noindex",
}
"""Of all that anybody may read of a badge."""


class BadgeSpec(Struct, frozen=True, kw_only=True):
    """What may be set about a monitor's badges."""

    label: Annotated[str, Meta(max_length=rules.MOST_LABEL)] | None = None
    """What they call the monitor; null or empty: its name, which the world sees then."""


class BadgeAnswer(Struct, frozen=True, kw_only=True):
    """A monitor's badges."""

    monitor_id: Id
    label: str | None
    paths: dict[str, str]
    """By badge: where it is, below this server's address; `json` has all the figures."""
    created_at: str
    """Of the address."""


class PublicBadge(Struct, frozen=True, kw_only=True):
    """All that the badges of a monitor tell."""

    label: str
    status: PublicStatus
    since: str
    uptime_percent: dict[str, float | None]
    """By period (24h, 7d, 30d, 90d): of the time, rounded down at 4 decimals; null without
    data."""
    response_time_ms: int | None
    """The mean of the last 24 hours; null without data."""
    updated_at: str


def shown(badge: Badge) -> BadgeAnswer:
    """Return a monitor's badges as the API answers them."""
    paths = {name: f"/badge/{badge.token}/{name}.svg" for name in rules.NAMES}
    return BadgeAnswer(
        monitor_id=badge.monitor_id,
        label=badge.label,
        paths=paths | {"json": f"/v1/public/badges/{badge.token}"},
        created_at=rfc3339(badge.created_at),
    )


def off() -> ApiError:
    """Return the 404 of a monitor whose badges are off."""
    return ApiError(
        404, "BADGES_NOT_FOUND", "The badges of this monitor are off; PUT switches them on"
    )


def spec_of(label: str) -> BadgeSpec:
    """Return what somebody typed as a spec.

    Raises:
        ApiError: 400 for too long a label.
    """
    return reading.into(BadgeSpec, {"label": label or None})


# What administrators do


def find(conn: Conn, org_id: Id, monitor_id: Id) -> Badge | None:
    """Return a monitor's badges, or None while they are off.

    Raises:
        ApiError: 404 where there is no such monitor.
    """
    if monitors.get(conn, org_id, monitor_id) is None:
        raise not_found("monitor")
    return badges.get(conn, monitor_id)


async def put(house: House, session: OrgSession, monitor_id: Id, spec: BadgeSpec) -> Badge:
    """Switch a monitor's badges on, or set how they are labelled; the address stays.

    Raises:
        ApiError: 400 for a label that is no line, 404.
    """
    label = (spec.label or "").strip() or None
    if label is not None:
        reading.at_least_one(reading.line_problems("$.label", label))

    def work(deed: Deed) -> Badge:
        old = find(deed.conn, deed.org_id, monitor_id)
        if old is None:
            badge = Badge(
                monitor_id=monitor_id,
                token=new_badge_token(),
                label=label,
                created_at=deed.now,
            )
            _note(deed, "badges.on", None, badge)
        else:
            badge = with_changes(old, label=label)
            _note(deed, "badges.changed", old, badge)
        badges.put(deed.conn, badge)
        return badge

    badge = await session.change(work)
    house.rack.forget(badge.token)
    return badge


async def rotate(house: House, session: OrgSession, monitor_id: Id) -> Badge:
    """Give a monitor's badges another address; the old one leads nowhere from now on.

    Raises:
        ApiError: 404.
    """

    def work(deed: Deed) -> tuple[Badge, Badge]:
        old = find(deed.conn, deed.org_id, monitor_id)
        if old is None:
            raise off()
        badge = with_changes(old, token=new_badge_token(), created_at=deed.now)
        badges.put(deed.conn, badge)
        _note(deed, "badges.rotated", old, badge)
        return old, badge

    old, badge = await session.change(work)
    house.rack.forget(old.token)
    return badge


async def remove(house: House, session: OrgSession, monitor_id: Id) -> None:
    """Switch a monitor's badges off; their address leads nowhere from now on.

    Raises:
        ApiError: 404.
    """

    def work(deed: Deed) -> Badge:
        old = find(deed.conn, deed.org_id, monitor_id)
        if old is None:
            raise off()
        badges.remove(deed.conn, monitor_id)
        _note(deed, "badges.off", old, None)
        return old

    house.rack.forget((await session.change(work)).token)


def _note(deed: Deed, action: str, before: Badge | None, after: Badge | None) -> None:
    """Write the audit row: all but the token, by which anybody may look."""
    monitor_id = next(each.monitor_id for each in (before, after) if each is not None)
    deed.note(action, "monitor", monitor_id, before=_record(before), after=_record(after))


def _record(badge: Badge | None) -> dict[str, Any] | None:
    if badge is None:
        return None
    return {"label": badge.label, "created_at": rfc3339(badge.created_at)}


@endpoint(
    "GET",
    "/v1/monitors/{id:str}/badges",
    access=VIEWER,
    tag="monitors",
    summary="Say where a monitor's own badges are, if they are switched on",
    answer=BadgeAnswer,
    errors=(404,),
)
async def read(call: Call) -> One[BadgeAnswer]:
    """Read where they are."""
    found = await call.session.read(find, call.id("id", "monitor"))
    if found is None:
        raise off()
    return One.of(shown(found))


@endpoint(
    "PUT",
    "/v1/monitors/{id:str}/badges",
    access=ADMIN,
    tag="monitors",
    summary="Switch a monitor's own badges on, or set how they are labelled; the address stays",
    body=BadgeSpec,
    body_required=False,
    answer=BadgeAnswer,
    errors=(404,),
)
async def switch_on(call: Call) -> One[BadgeAnswer]:
    """Switch them on."""
    monitor_id = call.id("id", "monitor")
    # Whose it is not learns nothing of what is wrong with the body either.
    await call.session.read(find, monitor_id)
    spec = await call.optional_body(BadgeSpec)
    return One.of(shown(await put(call.house, call.session, monitor_id, spec)))


@endpoint(
    "POST",
    "/v1/monitors/{id:str}/badges/rotate",
    access=ADMIN,
    tag="monitors",
    summary="Give a monitor's badges another address; the old one ends at once",
    answer=BadgeAnswer,
    errors=(404,),
)
async def rotate_one(call: Call) -> One[BadgeAnswer]:
    """Give them another address."""
    return One.of(shown(await rotate(call.house, call.session, call.id("id", "monitor"))))


@endpoint(
    "DELETE",
    "/v1/monitors/{id:str}/badges",
    access=ADMIN,
    tag="monitors",
    summary="Switch a monitor's own badges off; their address ends at once",
    errors=(404,),
)
async def switch_off(call: Call) -> One[None]:
    """Switch them off."""
    await remove(call.house, call.session, call.id("id", "monitor"))
    return NOTHING


# What anybody may read who knows the address


@endpoint(
    "GET",
    "/v1/public/badges/{token:str}",
    access=PUBLIC,
    tag="public",
    summary="Read what the badges of a monitor tell",
    answer=PublicBadge,
    errors=(404,),
)
async def read_public(call: Call) -> Response[bytes]:
    """Read it."""
    facts = await call.house.rack.look(call.request.path_params["token"])
    if facts is None:
        raise ApiError(404, "BADGES_NOT_FOUND", "There are no badges at this address")
    made = rendered("application/json", encoded(One.of(_public(facts))))
    return sending.send(call, made, HEADERS | {"ETag": made.tag})


def _public(facts: BadgeFacts) -> PublicBadge:
    return PublicBadge(
        label=facts.label,
        status=facts.status,
        since=rfc3339(facts.since),
        uptime_percent=facts.uptime,
        response_time_ms=facts.response_time_ms,
        updated_at=rfc3339(facts.at),
    )


ROUTES = (read, switch_on, rotate_one, switch_off, read_public)
