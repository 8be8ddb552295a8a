"""/v1/audit-logs: who did what, when, from where, and what was so before and after."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar.response import Stream
from msgspec import UNSET, Meta, Struct, UnsetType

from netpulse.model.audit import AuditRow
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import audit
from netpulse.storage.audit import AuditFilter
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import exports, limits
from netpulse.web.api.checks import moment
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import Many, page_of
from netpulse.web.errors import Problem, forbidden
from netpulse.web.reading import at_least_one
from netpulse.web.resource import ListQuery
from netpulse.web.session import OrgSession

AnId = Annotated[str, Meta(max_length=100)]
Word = Annotated[str, Meta(max_length=100)]
Text = Annotated[str, Meta(max_length=200)]

AT_ONCE = 500
"""Rows that an export has in hand at a time."""


class AuditActor(Struct, frozen=True):
    """Who did it."""

    kind: str
    """user, api_key, cli or system."""
    label: str
    """An email address, the key's name, or the command."""


class ActorOrg(Struct, frozen=True):
    """The organization that somebody acted from, where it is another one."""

    id: Id
    name: str


class AuditPayload(Struct, frozen=True):
    """What was so before, and after; secrets are left out."""

    before: Any
    after: Any
    actor_org: ActorOrg | UnsetType = UNSET


class AuditAnswer(Struct, frozen=True, kw_only=True):
    """An entry of the audit log."""

    id: Id
    org_id: Id | None
    """Null in the log of the instance."""
    seq: int
    """1, 2, 3 … in its log, without a hole."""
    user_id: Id | None
    """The person; of an API key, who made it."""
    action: str
    """Noun and verb: monitor.updated."""
    resource_type: str
    resource_id: Id | None
    actor: AuditActor
    ip_address: str | None
    user_agent: str | None
    payload: AuditPayload
    created_at: str
    prev_hash: str
    """The hash of the entry before it."""
    hash: str
    """SHA-256 over prev_hash and the entry's own fields (docs/audit.md)."""


class AuditQuery(ListQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which entries."""

    action: Word | None = None
    resource_type: Word | None = None
    resource_id: AnId | None = None
    user_id: AnId | None = None
    actor: Text | None = None
    """Text in the actor's label."""
    ip: Word | None = None
    from_: Text | None = None
    to: Text | None = None
    q: Text | None = None
    """Text in action, actor, resource_id, address or payload."""
    log: Literal["organization", "instance"] = "organization"
    """`instance`: what belongs to no organization; for super administrators."""


class ExportQuery(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which entries, and as what."""

    format: Literal["csv", "jsonl"]
    action: Word | None = None
    resource_type: Word | None = None
    resource_id: AnId | None = None
    user_id: AnId | None = None
    actor: Text | None = None
    ip: Word | None = None
    from_: Text | None = None
    to: Text | None = None
    q: Text | None = None
    log: Literal["organization", "instance"] = "organization"


_payload = msgspec.json.Decoder(AuditPayload)
_encoder = msgspec.json.Encoder()


def shown(row: AuditRow) -> AuditAnswer:
    """Return an entry as the API answers it."""
    return AuditAnswer(
        id=row.id,
        org_id=None if row.org_id == audit.INSTANCE else row.org_id,
        seq=row.seq,
        user_id=row.user_id,
        action=row.action,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        actor=AuditActor(row.actor_kind, row.actor_label),
        ip_address=row.ip_address,
        user_agent=row.user_agent,
        payload=_payload.decode(row.payload),
        created_at=rfc3339(row.created_at),
        prev_hash=row.prev_hash,
        hash=row.hash,
    )


def filter_of(query: AuditQuery | ExportQuery) -> AuditFilter:
    """Return the filter that a query names.

    Raises:
        ApiError: 400 for what is no moment.
    """
    problems: list[Problem] = []
    start, end = moment(query.from_, "?from", problems), moment(query.to, "?to", problems)
    at_least_one(problems)
    return AuditFilter(
        action=query.action,
        resource_type=query.resource_type,
        resource_id=query.resource_id,
        user_id=query.user_id,
        actor=query.actor,
        ip=query.ip,
        start=start,
        end=end,
        q=query.q,
    )


def log_of(session: OrgSession, log: str) -> Id:
    """Return whose log is meant.

    Raises:
        ApiError: 403 for the instance's, where somebody else than its super administrator asks.
    """
    if log != "instance":
        return session.org_id
    if session.role < Role.SUPER_ADMIN or session.key is not None:
        raise forbidden("The log of the instance is for its super administrators, signed in")
    return audit.INSTANCE


def _page(conn: Conn, log: Id, wanted: AuditFilter, query: AuditQuery) -> Page[AuditRow]:
    return audit.page(conn, log, wanted, offset=query.offset, limit=query.limit)


@endpoint(
    "GET",
    "/v1/audit-logs",
    access=ADMIN,
    tag="audit-logs",
    summary="List the audit log, the newest first",
    query=AuditQuery,
    answer=AuditAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[AuditAnswer]:
    """List."""
    query = call.query(AuditQuery)
    log, wanted = log_of(call.session, query.log), filter_of(query)
    found = await call.session.db.read(_page, log, wanted, query)
    rows = [shown(row) for row in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


@endpoint(
    "GET",
    "/v1/audit-logs/export",
    access=ADMIN,
    tag="audit-logs",
    summary="Export the audit log, the oldest first; this is itself an entry",
    query=ExportQuery,
    media=("text/csv", "application/jsonl"),
)
async def export(call: Call) -> Stream:
    """Export."""
    return await exported(call, call.query(ExportQuery))


async def exported(call: Call, query: ExportQuery) -> Stream:
    """Note the export, and return it as a stream of pieces.

    Raises:
        ApiError: 400 for what is no moment, 403 for a log that is not theirs, 429.
    """
    session = call.session
    log, wanted = log_of(session, query.log), filter_of(query)
    limits.export_counts(call)
    asked = {
        name: value
        for name, value in msgspec.to_builtins(query).items()
        if value is not None and (name, value) != ("log", "organization")
    }

    def work(conn: Conn) -> int:
        session.refuse_ended(conn)
        # In the log that is exported, which may be the instance's.
        row = audit.append(
            conn, log, session.actor, "audit.exported", "audit", None, None, asked, session.now
        )
        return row.seq

    until = await session.db.write(work)
    write = _csv if query.format == "csv" else _jsonl

    def piece(conn: Conn, after: int | None) -> tuple[bytes, int | None]:
        # What came before the entry which says that it was exported.
        rows = audit.following(conn, log, wanted, after=after or 0, until=until, limit=AT_ONCE)
        last = rows[-1].seq if len(rows) == AT_ONCE else None
        return write(rows, after is None), last

    return exports.answer(call, piece, "audit", query.format)


COLUMNS = (
    "created_at",
    "actor",
    "actor_kind",
    "action",
    "resource_type",
    "resource_id",
    "before",
    "after",
    "ip_address",
    "user_agent",
    "user_id",
    "org_id",
    "id",
    "seq",
    "prev_hash",
    "hash",
)
"""The columns of the CSV."""


def _csv(rows: list[AuditRow], is_first: bool) -> bytes:
    """Write rows as a table, the first with its heads."""
    return exports.csv_rows([COLUMNS, *map(_cells, rows)] if is_first else map(_cells, rows))


def _cells(row: AuditRow) -> tuple[str | None, ...]:
    payload = _payload.decode(row.payload)
    return (
        rfc3339(row.created_at),
        row.actor_label,
        row.actor_kind,
        row.action,
        row.resource_type,
        row.resource_id,
        _json(payload.before),
        _json(payload.after),
        row.ip_address,
        row.user_agent,
        row.user_id,
        None if row.org_id == audit.INSTANCE else row.org_id,
        row.id,
        str(row.seq),
        row.prev_hash,
        row.hash,
    )


def _json(value: Any) -> str | None:
    return None if value is None else _encoder.encode(value).decode()


def _jsonl(rows: list[AuditRow], is_first: bool) -> bytes:
    """Write rows as one JSON object a line, each as the API answers it."""
    del is_first
    return _encoder.encode_lines([shown(row) for row in rows])


ROUTES = (list_all, export)
