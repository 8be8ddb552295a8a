"""/v1/alert-events: what was told to whom, what was not and why, and telling it once more."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.model.alert import Attempt, Cause, Event, Notice, NoticeStatus, Suppressed
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.storage import channels, delivery_log, notices
from netpulse.storage.db import Conn
from netpulse.storage.delivery_log import Logged
from netpulse.storage.notice_list import NoticeFilter
from netpulse.storage.table import Page
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import Many, One, page_of
from netpulse.web.errors import conflict, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

AnId = Annotated[str, Meta(max_length=100)]


class AttemptAnswer(Struct, frozen=True, kw_only=True, gc=False):
    """One try to deliver a notice."""

    at: str
    ok: bool
    status_code: int | None
    answer: str | None
    """What the far side said (at most 4 KiB), or what went wrong. For administrators."""
    latency_ms: int | None


class NoticeAnswer(Struct, frozen=True, kw_only=True):
    """A notice: one message for one channel."""

    id: Id
    """Also the `webhook-id`: the same at every attempt."""
    event: Event
    cause: Cause
    rule_id: Id | None
    channel_id: Id
    monitor_id: Id | None
    incident_id: Id | None
    status: NoticeStatus
    reason: Suppressed | None
    """Why it was not sent; of a pending one, what it waits for the end of."""
    fallback_of: Id | None
    """The notice that this one was told in place of."""
    digest_id: Id | None
    """Notices with the same one were told in one message."""
    created_at: str
    sent_at: str | None
    next_attempt_at: str | None
    error: str | None
    attempts: list[AttemptAnswer]


class NoticeQuery(ListQuery, frozen=True, kw_only=True):
    """Which notices, the newest first."""

    status: NoticeStatus | None = None
    event: Event | None = None
    reason: Suppressed | None = None
    """The suppressed ones with this reason."""
    rule_id: AnId | None = None
    channel_id: AnId | None = None
    monitor_id: AnId | None = None
    incident_id: AnId | None = None


def shown(logged: Logged, *, for_admin: bool) -> NoticeAnswer:
    """Return a notice as the API answers it. Answers of far sides may quote addresses and tokens:
    viewers do not see them."""
    notice = logged.notice
    return NoticeAnswer(
        id=notice.id,
        event=notice.event,
        cause=notice.cause,
        rule_id=notice.rule_id,
        channel_id=notice.channel_id,
        monitor_id=notice.monitor_id,
        incident_id=notice.incident_id,
        status=notice.status,
        reason=notice.reason or notice.held_for,
        fallback_of=notice.fallback_of,
        digest_id=notice.digest_id,
        created_at=rfc3339(notice.created_at),
        sent_at=_when(notice.sent_at),
        next_attempt_at=_when(notice.next_attempt_at),
        error=notice.error,
        attempts=[_attempt(one, for_admin=for_admin) for one in logged.attempts],
    )


def _attempt(attempt: Attempt, *, for_admin: bool) -> AttemptAnswer:
    return AttemptAnswer(
        at=rfc3339(attempt.at),
        ok=attempt.ok,
        status_code=attempt.status_code,
        answer=attempt.answer if for_admin else None,
        latency_ms=attempt.latency_ms,
    )


def _when(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _page(conn: Conn, org_id: Id, query: NoticeQuery) -> Page[Logged]:
    wanted = NoticeFilter(
        status=query.status,
        event=query.event,
        reason=query.reason,
        rule_id=query.rule_id,
        channel_id=query.channel_id,
        monitor_id=query.monitor_id,
        incident_id=query.incident_id,
    )
    return delivery_log.page(conn, org_id, wanted, query.offset, query.limit)


@endpoint(
    "GET",
    "/v1/alert-events",
    access=VIEWER,
    tag="alert-events",
    summary="List what was told, and what was not and why, the newest first",
    query=NoticeQuery,
    answer=NoticeAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[NoticeAnswer]:
    """List."""
    query = call.query(NoticeQuery)
    found = await call.session.read(_page, query)
    is_admin = call.session.role >= ADMIN
    rows = [shown(one, for_admin=is_admin) for one in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


@endpoint(
    "GET",
    "/v1/alert-events/{id:str}",
    access=VIEWER,
    tag="alert-events",
    summary="Read a notice with every attempt",
    answer=NoticeAnswer,
    errors=(404,),
)
async def read_one(call: Call) -> One[NoticeAnswer]:
    """Read one."""
    found = await call.session.read(delivery_log.get, call.id("id", "alert event"))
    if found is None:
        raise not_found("alert event")
    return One.of(shown(found, for_admin=call.session.role >= ADMIN))


async def resend(house: House, session: OrgSession, notice_id: Id) -> Logged:
    """Send a notice once more, under the same id.

    Raises:
        ApiError: 404; 409 `NOTICE_PENDING` while it waits anyway, `CHANNEL_INACTIVE` where its
            channel is switched off or deleted.
    """

    def work(deed: Deed) -> Logged:
        notice = notices.get(deed.conn, deed.org_id, notice_id)
        if notice is None:
            raise not_found("alert event")
        _may_go_again(deed, notice)
        again = notices.resend(deed.conn, deed.org_id, notice_id, deed.now)
        deed.note(
            "alert_event.resent",
            "alert_event",
            notice_id,
            before={"status": notice.status, "reason": notice.reason},
            after={"status": again.status},
        )
        tried = delivery_log.attempts(deed.conn, [notice_id])
        return Logged(again, tried.get(notice_id, ()))

    logged = await session.change(work)
    house.engine.notices_written()
    return logged


def _may_go_again(deed: Deed, notice: Notice) -> None:
    if notice.status is NoticeStatus.PENDING and notice.held_for is None:
        raise conflict("NOTICE_PENDING", "This notice waits to be sent anyway")
    channel = channels.get(deed.conn, deed.org_id, notice.channel_id)
    if channel is None:
        raise conflict("CHANNEL_INACTIVE", "The channel of this notice was deleted")
    if not channel.is_active:
        raise conflict(
            "CHANNEL_INACTIVE", f"The channel {channel.name} is switched off: switch it on first"
        )


@endpoint(
    "POST",
    "/v1/alert-events/{id:str}/resend",
    access=ADMIN,
    tag="alert-events",
    summary="Send a notice once more",
    answer=NoticeAnswer,
    errors=(404, 409),
)
async def resend_one(call: Call) -> One[NoticeAnswer]:
    """Send it again; the answer is the notice as it waits now."""
    logged = await resend(call.house, call.session, call.id("id", "alert event"))
    return One.of(shown(logged, for_admin=True))


ROUTES = (list_all, read_one, resend_one)
