"""The page of one notice: what was sent, every attempt, and sending it once more."""

from __future__ import annotations

import json
from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.alert import NoticeStatus
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import alert_rules, channels, delivery_log, notices
from netpulse.storage.db import Conn
from netpulse.web.api import alert_events as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import render
from netpulse.web.pages.render import redirect
from netpulse.web.pages.rows import notice_rows


class _Seen(Struct, frozen=True):
    row: dict[str, Any]
    rule_name: str | None
    together: int
    """Other notices that were told in the same message."""
    stands_for: Id | None


def _seen(conn: Conn, org_id: Id, notice_id: Id, *, for_admin: bool) -> _Seen | None:
    logged = delivery_log.get(conn, org_id, notice_id)
    if logged is None:
        return None
    notice = logged.notice
    row = notice_rows(conn, org_id, [notice])[0]
    # Also one that was sent, or is held back: whoever opens its page may mean just that.
    waits = notice.status is NoticeStatus.PENDING and notice.held_for is None
    row["can_resend"] = not waits and channels.get(conn, org_id, notice.channel_id) is not None
    row["attempts"] = [
        {
            "at": rfc3339(attempt.at),
            "ok": attempt.ok,
            "status_code": attempt.status_code,
            "latency_ms": attempt.latency_ms,
            "answer": attempt.answer if for_admin else None,
        }
        for attempt in logged.attempts
    ]
    row["payload"] = (
        json.dumps(json.loads(bytes(notice.payload)), indent=2, ensure_ascii=False)
        if for_admin
        else None
    )
    rule = None
    if notice.rule_id is not None:
        rule = alert_rules.get(conn, org_id, notice.rule_id)
    together = 0
    if notice.digest_id is not None:
        together = delivery_log.in_digest(conn, org_id, notice.digest_id) - 1
    return _Seen(row, None if rule is None else rule.name, together, notice.fallback_of)


@page("GET", "/alerts/events/{id:str}", access=VIEWER)
async def detail(call: Call) -> Response[bytes]:
    """Show one."""
    notice_id = call.id("id", "alert event")
    is_admin = call.session.role >= Role.ADMIN
    seen = await call.session.read(_seen, notice_id, for_admin=is_admin)
    if seen is None:
        raise not_found("alert event")
    return await render.page(
        call,
        "alerts/event.html",
        active="Alerts",
        notice=seen.row,
        rule_name=seen.rule_name,
        together=seen.together,
        stands_for=seen.stands_for,
    )


@page("POST", "/alerts/events/{id:str}/resend", access=ADMIN)
async def resend(call: Call) -> Response[bytes]:
    """Send it once more."""
    notice_id = call.id("id", "alert event")
    if await call.session.read(notices.get, notice_id) is None:
        raise not_found("alert event")
    told = "resent"
    try:
        await api.resend(call.house, call.session, notice_id)
    except ApiError as error:
        if error.status != 409:
            raise
        told = "not-resent"
    return redirect(f"/alerts/events/{notice_id}", told)


ROUTES = (detail, resend)
