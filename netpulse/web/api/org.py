"""/v1/org: the organization that one acts in, and what it calls itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.ids import Id
from netpulse.model.org import Org, Quotas
from netpulse.model.time import Millis, rfc3339
from netpulse.rules import orgs as rules
from netpulse.storage import orgs, quotas
from netpulse.storage.db import Conn, VersionConflict
from netpulse.storage.quotas import Used
from netpulse.web import reading
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import not_found, version_conflict
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset(
    {"id", "slug", "plan", "quotas", "usage", "parent_id", "provider", "created_at", "version"}
)


class OrgSpec(Struct, frozen=True, kw_only=True):
    """What an organization says of itself."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    """It stands in messages and at the head of the pages."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """An IANA name: whose clocks messages go by."""
    locale: Annotated[str, Meta(min_length=1, max_length=35)] = "en"
    """The language of messages and pages: en, so far."""


class OrgSettings(Struct, frozen=True, kw_only=True):
    """An organization, as its own people see it."""

    id: Id
    name: str
    slug: str
    """Its name in metrics; it stays."""
    timezone: str
    locale: str
    plan: str
    """The name of its quotas."""
    quotas: Quotas
    """What it may have at most; null: without a limit."""
    usage: Used
    """What it has; `users` are the members and the open invitations."""
    parent_id: Id | None
    """The organization that it is a client of."""
    provider: str | None
    """That organization's name."""
    created_at: str
    version: int


class Seen(Struct, frozen=True):
    """An organization with its surroundings."""

    org: Org
    quotas: Quotas
    used: Used
    provider: str | None


def look(conn: Conn, org_id: Id, now: Millis) -> Seen:
    """Return the organization that a session acts in."""
    org = orgs.get(conn, org_id)
    assert org is not None, "somebody acts in it"
    parent = None if org.parent_id is None else orgs.get(conn, org.parent_id)
    return Seen(
        org=org,
        quotas=quotas.of(conn, org_id),
        used=quotas.used(conn, [org_id], now)[org_id],
        provider=None if parent is None else parent.name,
    )


def shown(seen: Seen) -> OrgSettings:
    """Return an organization as the API answers it."""
    org = seen.org
    return OrgSettings(
        id=org.id,
        name=org.name,
        slug=org.slug,
        timezone=org.timezone,
        locale=org.locale,
        plan=org.plan,
        quotas=seen.quotas,
        usage=seen.used,
        parent_id=org.parent_id,
        provider=seen.provider,
        created_at=rfc3339(org.created_at),
        version=org.version,
    )


@endpoint(
    "GET",
    "/v1/org",
    access=VIEWER,
    tag="org",
    summary="Read the organization that you act in",
    answer=OrgSettings,
)
async def read_one(call: Call) -> One[OrgSettings]:
    """Read it."""
    return _answer(call, await call.session.read(look, call.now))


async def change(session: OrgSession, spec: OrgSpec, expected_version: int | None) -> None:
    """Store what `spec` says. Messages that are written from then on say so too.

    Raises:
        ApiError: 400 for what cannot be used, 412 if it is not at `expected_version`.
    """
    spec = replace(spec, name=spec.name.strip())
    reading.at_least_one(list(rules.problems(spec.name, spec.timezone, spec.locale)))

    def work(deed: Deed) -> None:
        old = orgs.get(deed.conn, deed.org_id)
        if old is None or old.deleted_at is not None:
            raise not_found("organization")
        wanted = replace(old, name=spec.name, timezone=spec.timezone, locale=spec.locale)
        org = orgs.replace(deed.conn, wanted, expected_version, deed.now)
        deed.note("org.updated", "org", org.id, before=_record(old), after=_record(org))

    try:
        await session.change(work)
    except VersionConflict:
        raise version_conflict() from None


def _record(org: Org) -> dict[str, str]:
    return {"name": org.name, "timezone": org.timezone, "locale": org.locale}


@endpoint(
    "PUT",
    "/v1/org",
    access=ADMIN,
    tag="org",
    summary="Change the organization's name, time zone and language",
    body=OrgSpec,
    answer=OrgSettings,
    errors=(412,),
)
async def replace_one(call: Call) -> One[OrgSettings]:
    """Change it."""
    spec = reading.into(OrgSpec, await call.json(), ignore=READ_ONLY)
    await change(call.session, spec, call.expected_version())
    return _answer(call, await call.session.read(look, call.now))


def _answer(call: Call, seen: Seen) -> One[OrgSettings]:
    call.tag(seen.org.version)
    return One.of(shown(seen))


ROUTES = (read_one, replace_one)
