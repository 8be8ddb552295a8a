"""/v1/auth/sessions: a person's own open sign-ins, of browsers and of programs."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.storage import sessions, sign_ins
from netpulse.storage.sign_ins import SignIn, SignInKind
from netpulse.storage.table import Page
from netpulse.web import own_account, tokens
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import not_found
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession


class SessionAnswer(Struct, frozen=True, kw_only=True):
    """One open sign-in."""

    id: Id
    kind: SignInKind
    """page: a browser; api: a program with a refresh token."""
    created_at: str
    last_seen_at: str
    """To some minutes; of a program when it refreshed last."""
    expires_at: str
    """When it ends if it is not used any more."""
    ip: str | None
    """Where it was made."""
    user_agent: str | None
    is_current: bool
    """Whether it is the one that asks."""


def shown(session: OrgSession, row: SignIn) -> SessionAnswer:
    """Return an open sign-in as the API answers it."""
    return SessionAnswer(
        id=row.id,
        kind=row.kind,
        created_at=rfc3339(row.created_at),
        last_seen_at=rfc3339(row.last_seen_at),
        expires_at=rfc3339(row.expires_at),
        ip=row.ip,
        user_agent=row.user_agent,
        is_current=(
            row.id == session.family_id
            if row.digest is None
            else row.digest == session.cookie_digest
        ),
    )


@endpoint(
    "GET",
    "/v1/auth/sessions",
    access=VIEWER,
    tag="auth",
    summary="List one's own open sign-ins, the one used last first",
    query=ListQuery,
    answer=SessionAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[SessionAnswer]:
    """List."""
    query = call.query(ListQuery)
    found = await listed(call, query)
    return page_of(found.rows, page=query.page, limit=query.limit, total=found.total)


async def listed(call: Call, query: ListQuery) -> Page[SessionAnswer]:
    """Return a page of the caller's open sign-ins."""
    found = await call.house.db.read(
        sign_ins.page,
        call.session.user.id,
        call.now,
        idle_ms=tokens.SESSION_IDLE_MS,
        offset=query.offset,
        limit=query.limit,
    )
    return Page([shown(call.session, row) for row in found.rows], found.total)


@endpoint(
    "DELETE",
    "/v1/auth/sessions/{id:str}",
    access=VIEWER,
    tag="auth",
    summary="End one of one's own sign-ins; it may be the one that asks",
    errors=(404,),
)
async def end(call: Call) -> One[None]:
    """End one."""
    await end_one(call)
    return NOTHING


async def one(call: Call) -> SignIn:
    """Return the caller's open sign-in that the address names.

    Raises:
        ApiError: 404.
    """
    found = await call.house.db.read(
        sign_ins.get,
        call.session.user.id,
        call.id("id", "session"),
        call.now,
        idle_ms=tokens.SESSION_IDLE_MS,
    )
    if found is None:
        raise not_found("session")
    return found


async def end_one(call: Call) -> SignIn:
    """End the caller's sign-in that the address names, and return what it was.

    Raises:
        ApiError: 404.
    """
    found = await one(call)

    def work(deed: Deed) -> None:
        sign_ins.end(deed.conn, found, deed.now)
        before = shown(call.session, found)
        deed.note("auth.session_ended", "session", found.id, before=before)

    await own_account.quietly(call, work)
    return found


@endpoint(
    "DELETE",
    "/v1/auth/sessions",
    access=VIEWER,
    tag="auth",
    summary="End all of one's own sign-ins but the one that asks",
)
async def end_others(call: Call) -> One[None]:
    """End the others."""
    await end_all_others(call)
    return NOTHING


async def end_all_others(call: Call) -> None:
    """End all of the caller's sign-ins but the one that asks."""
    session = call.session

    def work(deed: Deed) -> None:
        sessions.end_all(
            deed.conn,
            session.user.id,
            deed.now,
            keep=session.cookie_digest,
            keep_family=session.family_id,
        )
        deed.note("auth.sessions_ended", "user", session.user.id)

    await own_account.quietly(call, work)


ROUTES = (list_all, end, end_others)
