"""/v1/org/clients: the organizations that are looked after by this one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.ids import Id, new_id
from netpulse.model.org import Org, Quotas
from netpulse.model.user import Role
from netpulse.rules import orgs as rules
from netpulse.storage import clients, closing, orgs, quotas, users
from netpulse.storage.clients import Client
from netpulse.storage.closing import Holdings
from netpulse.storage.db import Conn, UniqueConflict
from netpulse.web import accounts, granting, reading, security_notes
from netpulse.web.api.client_answers import ClientAnswer, shown
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import Problem, conflict, invalid, not_found, version_conflict
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

NOUN = "client"
PATH = "/v1/org/clients"
READ_ONLY = frozenset({"id", "usage", "health", "my_role", "created_at", "version"})
_SLUG = re.compile(r"[a-z0-9-]+")
MOST_NOTED = 100
"""Names that an audit row lists; how many there are, it says anyway."""


class QuotasSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may have; null: without a limit."""

    monitors: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    users: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """Members and open invitations; your own people take no place."""
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """How far back raw results are shown."""
    private_targets: bool = False
    """Whether private and loopback addresses may be reached."""


class ClientSpec(Struct, frozen=True, kw_only=True):
    """What a provider sets of a client."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    slug: Annotated[str, Meta(min_length=2, max_length=64)] | None = None
    """Its name in metrics, of a-z, 0-9 and -, which stays; absent: made of the name."""
    plan: Annotated[str, Meta(min_length=1, max_length=64)] = "free"
    """The name of a set of quotas."""
    quotas: QuotasSpec | None = None
    """Absent or null: those of the plan, as your other clients have it."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """An IANA name: whose clocks messages go by."""
    locale: Annotated[str, Meta(min_length=1, max_length=35)] = "en"


class ClientQuery(ListQuery, frozen=True, kw_only=True):
    """Which clients."""

    q: Annotated[str, Meta(max_length=200)] | None = None
    """A part of name or slug."""
    plan: Annotated[str, Meta(max_length=64)] | None = None


def record(org: Org) -> dict[str, Any]:
    """Return what the audit log keeps of a client."""
    return {
        "name": org.name,
        "slug": org.slug,
        "plan": org.plan,
        "quotas": org.quotas,
        "timezone": org.timezone,
        "locale": org.locale,
    }


def read_spec(values: dict[str, Any]) -> ClientSpec:
    """Return what somebody sent as a spec.

    Raises:
        ApiError: 400 with every problem.
    """
    spec = reading.into(ClientSpec, values, ignore=READ_ONLY)
    spec = replace(spec, name=spec.name.strip(), plan=spec.plan.strip())
    found: list[Any] = [*rules.problems(spec.name, spec.timezone, spec.locale)]
    if spec.slug is not None and not _SLUG.fullmatch(spec.slug):
        found.append(Problem("$.slug", "use letters a to z, digits and - only"))
    reading.at_least_one([*found, *reading.line_problems("$.plan", spec.plan)])
    return spec


async def stored(session: OrgSession, client_id: Id) -> Client:
    """Return a client of the organization. Raises ApiError (404) where there is none."""
    found = await session.read(clients.get, client_id, session.now)
    if found is None:
        raise not_found(NOUN)
    return found


# What is done


async def create(house: House, session: OrgSession, spec: ClientSpec) -> Client:
    """Make a client; whoever makes it may administer it, if they belong to the provider.

    Raises:
        ApiError: 400, 409 `SLUG_TAKEN`, or `NOT_A_PROVIDER` in an organization that is a client.
    """

    def work(deed: Deed) -> Client:
        _refuse_nested(deed)
        org = Org(
            id=new_id(deed.now),
            name=spec.name,
            slug=spec.slug or accounts.slug_for(deed.conn, spec.name),
            parent_id=deed.org_id,
            plan=spec.plan,
            quotas=_quotas(deed, spec, None),
            timezone=spec.timezone,
            locale=spec.locale,
            created_at=deed.now,
        )
        try:
            orgs.insert(deed.conn, org)
        except UniqueConflict:
            raise conflict(
                "SLUG_TAKEN", f"The slug {org.slug} is taken; choose another one"
            ) from None
        deed.note("client.created", "client", org.id, after=record(org))
        deed.note_in(org.id, "org.created", "org", org.id, after=record(org))
        creator = users.membership(deed.conn, session.user.id, deed.org_id)
        if creator is not None and creator.is_active and not creator.is_grant:
            granting.give(deed, org, session.user.id, session.user.email, Role.ADMIN, None)
        return _again(deed, org.id)

    client = await session.change(work)
    await _tell(house, session, client)
    return client


async def change(
    house: House,
    session: OrgSession,
    client_id: Id,
    spec: ClientSpec,
    expected_version: int | None = None,
) -> Client:
    """Store `spec` in place of what is there; changed quotas count at once.

    Raises:
        ApiError: 400, 404, 412.
    """

    def work(deed: Deed) -> Client:
        old = _there(deed, client_id).org
        if spec.slug not in {None, old.slug}:
            raise invalid(
                [Problem("$.slug", "stays as it is: metrics know the client by it; leave it out")]
            )
        wanted = replace(
            old,
            name=spec.name,
            plan=spec.plan,
            quotas=_quotas(deed, spec, old),
            timezone=spec.timezone,
            locale=spec.locale,
        )
        new = orgs.replace(deed.conn, wanted, expected_version, deed.now)
        before, after = record(old), record(new)
        deed.note("client.updated", "client", client_id, before=before, after=after)
        deed.note_in(client_id, "org.updated", "org", client_id, before=before, after=after)
        return _again(deed, client_id)

    client = await session.change(work)
    await _tell(house, session, client)
    return client


async def delete(
    house: House, session: OrgSession, client_id: Id, expected_version: int | None = None
) -> None:
    """Delete a client with everything in it but its audit log. What it watched is watched no more
    from now on, nobody is told of a recovery, and nobody gets in any more.

    Raises:
        ApiError: 404, 412, 409 `SUPER_ADMIN_AT_HOME`.
    """

    def work(deed: Deed) -> None:
        client = _there(deed, client_id)
        org = client.org
        if expected_version is not None and org.version != expected_version:
            raise version_conflict()
        people = users.page(deed.conn, org.id, limit=closing.MOST).rows
        if any(one.membership.role is Role.SUPER_ADMIN for one in people):
            raise conflict(
                "SUPER_ADMIN_AT_HOME",
                "A super administrator belongs to this client; make them a member elsewhere, and "
                "remove them here first",
            )
        before = {
            **record(org),
            "holdings": closing.holdings(deed.conn, org.id, deed.now),
            "members": [one.user.email for one in people if not one.membership.is_grant][
                :MOST_NOTED
            ],
        }
        closing.close(deed.conn, org.id, deed.now)
        deed.note("client.deleted", "client", org.id, before=before)
        deed.note_in(org.id, "org.deleted", "org", org.id, before=before)
        for one in people:
            if not one.membership.is_grant:
                sentence = f"Your access to {org.name} has ended: it was deleted."
                security_notes.tell(deed.conn, house, one.user, sentence, deed.actor, deed.now)

    await session.change(work)
    house.engine.org_deleted(client_id)
    house.shelf.edited(client_id)
    house.shelf.domains_edited()
    house.engine.letters_written()


def going(conn: Conn, org_id: Id, client_id: Id, now: int) -> Holdings | None:
    """Return what goes with a client of the organization, or None if it has none with this id."""
    if clients.get(conn, org_id, client_id, now) is None:
        return None
    return closing.holdings(conn, client_id, now)


def _refuse_nested(deed: Deed) -> None:
    org = orgs.get(deed.conn, deed.org_id)
    if org is not None and org.parent_id is not None:
        raise conflict(
            "NOT_A_PROVIDER",
            f"{org.name} is a client itself, and a client cannot have clients of its own",
        )


def _quotas(deed: Deed, spec: ClientSpec, old: Org | None) -> Quotas:
    """Return the quotas that a spec comes to: its own, those that stay, or those of its plan."""
    given = spec.quotas
    if given is None and old is not None and old.plan == spec.plan:
        return old.quotas
    if given is None:
        plans = clients.plans(deed.conn, deed.org_id)
        return plans.get(spec.plan, Quotas(private_targets=False))
    if given.private_targets and not quotas.of(deed.conn, deed.org_id).private_targets:
        path = "$.quotas.private_targets"
        raise invalid([Problem(path, "your own organization may reach public addresses only")])
    return Quotas(
        monitors=given.monitors,
        users=given.users,
        retention_days=given.retention_days,
        private_targets=given.private_targets,
    )


async def _tell(house: House, session: OrgSession, client: Client) -> None:
    """Have changed quotas count."""
    in_effect = await session.db.read(quotas.of, client.org.id)
    house.engine.org_changed(client.org.id, private_targets=in_effect.private_targets)
    # Its status pages look back as far as it may.
    house.shelf.edited(client.org.id)


def _there(deed: Deed, client_id: Id) -> Client:
    client = clients.get(deed.conn, deed.org_id, client_id, deed.now)
    if client is None:
        raise not_found(NOUN)
    return client


def _again(deed: Deed, client_id: Id) -> Client:
    client = clients.get(deed.conn, deed.org_id, client_id, deed.now)
    assert client is not None, "it was just written in this transaction"
    return client


# The routes


def _answer(call: Call, client: Client) -> One[ClientAnswer]:
    call.tag(client.org.version)
    return One.of(shown(call.house, call.session, client))


@endpoint(
    "GET",
    PATH,
    access=ADMIN,
    tag="clients",
    summary="List clients",
    query=ClientQuery,
    answer=ClientAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[ClientAnswer]:
    """List them by name."""
    query, session = call.query(ClientQuery), call.session
    found = await session.read(
        clients.page,
        q=query.q,
        plan=query.plan,
        offset=query.offset,
        limit=query.limit,
        now=call.now,
    )
    rows = [shown(call.house, session, client) for client in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


@endpoint(
    "POST",
    PATH,
    access=ADMIN,
    tag="clients",
    summary="Make a client",
    body=ClientSpec,
    answer=ClientAnswer,
    status=201,
    errors=(409,),
)
async def create_one(call: Call) -> One[ClientAnswer]:
    """Make one."""
    client = await create(call.house, call.session, read_spec(await call.json()))
    call.headers["Location"] = f"{PATH}/{client.org.id}"
    return _answer(call, client)


@endpoint(
    "GET",
    f"{PATH}/{{id:str}}",
    access=ADMIN,
    tag="clients",
    summary="Read a client",
    answer=ClientAnswer,
    errors=(404,),
)
async def read_one(call: Call) -> One[ClientAnswer]:
    """Read one."""
    return _answer(call, await stored(call.session, call.id("id", NOUN)))


@endpoint(
    "PUT",
    f"{PATH}/{{id:str}}",
    access=ADMIN,
    tag="clients",
    summary="Replace a client's name, plan and quotas",
    body=ClientSpec,
    answer=ClientAnswer,
    errors=(404, 412),
)
async def replace_one(call: Call) -> One[ClientAnswer]:
    """Change one."""
    client_id = call.id("id", NOUN)
    expected = call.expected_version()
    # What does not exist is a 404 before anything is said of the body.
    await stored(call.session, client_id)
    spec = read_spec(await call.json())
    return _answer(call, await change(call.house, call.session, client_id, spec, expected))


@endpoint(
    "DELETE",
    f"{PATH}/{{id:str}}",
    access=ADMIN,
    tag="clients",
    summary="Delete a client with everything in it but its audit log",
    errors=(404, 409, 412),
)
async def delete_one(call: Call) -> One[None]:
    """Delete one."""
    client_id = call.id("id", NOUN)
    await delete(call.house, call.session, client_id, call.expected_version())
    return NOTHING


ROUTES = (list_all, create_one, read_one, replace_one, delete_one)
