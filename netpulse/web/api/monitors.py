"""/v1/monitors: the five verbs, pause and resume, checks and uptime, check now, test."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from msgspec import Meta, Struct

from netpulse.engine import glance
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import TYPES, CommonSpec, Monitor, MonitorSpec, PushSpec
from netpulse.model.time import DAY, rfc3339
from netpulse.model.user import Role
from netpulse.model.watch import Status
from netpulse.rules import monitors as rules
from netpulse.rules import quotas as quota_rules
from netpulse.storage import alert_rules, edges, monitor_list, monitors, overview, parents, quotas
from netpulse.storage.db import Conn
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.api import checks
from netpulse.web.api.alert_rules import MAX_RULES_NOTED
from netpulse.web.api.alert_rules import shown as shown_rule
from netpulse.web.api.checks import CheckAnswer
from netpulse.web.endpoint import ADMIN, VIEWER
from netpulse.web.errors import Problem, conflict, invalid, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

Sort = Literal[
    "name",
    "-name",
    "created_at",
    "-created_at",
    "status",
    "-status",
    "type",
    "-type",
    "target",
    "-target",
    "group",
    "-group",
    "interval_seconds",
    "-interval_seconds",
    "status_since",
    "-status_since",
    "response_time_ms",
    "-response_time_ms",
    "uptime_24h",
    "-uptime_24h",
]
FIGURES = frozenset({"response_time_ms", "uptime_24h"})
"""What is known of monitors beside the table; those without one come last either way."""
SORTS: frozenset[str] = frozenset(get_args(Sort))


class MonitorQuery(ListQuery, frozen=True, kw_only=True):
    """Which monitors."""

    status: Status | None = None
    type: Annotated[str, Meta(max_length=20)] | None = None
    tag: Annotated[str, Meta(max_length=64)] | None = None
    group: Annotated[str, Meta(max_length=100)] | None = None
    q: Annotated[str, Meta(max_length=200)] | None = None
    """A part of name, target, group or a tag."""
    sort: Sort = "name"


class MonitorState(Struct, frozen=True, kw_only=True):
    """What an answer about a monitor adds to what a person has set."""

    id: Id
    org_id: Id
    status: Status
    """The confirmed state; while it is in maintenance, that."""
    status_since: str
    last_check: CheckAnswer | None
    created_by: Id | None
    created_at: str
    version: int
    problem: str | None
    """What is wrong with the stored monitor, so that it is not checked: it cannot be read, or
    its secrets do not open."""
    ping_url: str | None = None
    """Of a push monitor: where its job pings, below this server's address. Null for viewers."""


class MonitorAnswer(Struct, frozen=True):
    """For the OpenAPI document: the fields of the spec's type, those of MonitorState, and
    `<field>_set` for each write-only field, which itself is null."""

    spec: MonitorSpec
    state: MonitorState


def spec_of(values: dict[str, Any]) -> MonitorSpec:
    """Return what somebody sent as a spec, types and bounds checked, secrets maybe missing.

    Raises:
        ApiError: 400 with every problem of that kind.
    """
    given = rules.strip_read_only(values)
    kind = given.get("type")
    known = ", ".join(TYPES)
    if not isinstance(kind, str) or kind not in TYPES:
        unknown = "this field is required" if kind is None else "there is no such type"
        common = reading.type_problems(CommonSpec, given)
        # Which other fields exist is not known without the type.
        fields = {f"$.{name}" for name in CommonSpec.__struct_fields__}
        found = [problem for problem in common if problem.path in fields]
        raise invalid([Problem("$.type", f"{unknown}; the types are {known}"), *found])
    return reading.into(TYPES[kind], given)


def checked(spec: MonitorSpec) -> MonitorSpec:
    """Return the spec in the form it is stored in.

    Raises:
        ApiError: 400 with every problem of meaning.
    """
    spec = rules.normalised(spec)
    reading.at_least_one(rules.problems(spec))
    return spec


def kept(spec: MonitorSpec, old: MonitorSpec) -> MonitorSpec:
    """Return what a PUT of `spec` makes of the stored one, in the form it is stored in.

    Raises:
        ApiError: 400 with every problem of meaning, and for secrets that would go to another
            server now.
    """
    wanted = checked(rules.keep_secrets(spec, old))
    reading.at_least_one(rules.moved_secrets(spec, old))
    return wanted


class Monitors(Noun[MonitorSpec, MonitorRow, MonitorRow, MonitorQuery]):
    """Monitors."""

    word: ClassVar[str] = "monitor"
    path: ClassVar[str] = "/v1/monitors"
    kind: ClassVar[str] = "monitor"
    refusals = (409,)
    spec: ClassVar[Any] = MonitorSpec
    answer: ClassVar[Any] = MonitorAnswer
    query: ClassVar[type[ListQuery]] = MonitorQuery

    def read_spec(self, values: dict[str, Any]) -> MonitorSpec:
        """Return the spec; its meaning is judged with the stored secrets, in the transaction."""
        return spec_of(values)

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> MonitorRow | None:
        """Return a monitor with its watch."""
        return monitors.get_row(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: MonitorQuery) -> Page[MonitorRow]:
        """Return a page of them."""
        return monitor_list.page(conn, org_id, _wanted(query), query.offset, query.limit)

    async def find(
        self, house: House, session: OrgSession, query: MonitorQuery
    ) -> Page[MonitorRow]:
        """Return a page of them, in whatever order there is."""
        return await found(house, session, _wanted(query), query.offset, query.limit)

    def insert(self, deed: Deed, spec: MonitorSpec) -> MonitorRow:
        """Store a new monitor."""
        refuse_parent(deed.conn, deed.org_id, None, spec)
        spec = checked(spec)
        refuse_private(deed, spec)
        monitor = Monitor(
            id=new_id(deed.now),
            key=0,
            org_id=deed.org_id,
            spec=spec,
            created_by=deed.actor.user_id,
            created_at=deed.now,
        )
        stored = monitors.insert(deed.conn, monitor)
        return self._again(deed, stored.id)

    def replace(self, deed: Deed, old: MonitorRow, spec: MonitorSpec) -> MonitorRow:
        """Store another spec; pausing and resuming by it does all that pausing does."""
        monitor = old.monitor
        wanted = kept(spec, monitor.spec)
        refuse_parent(deed.conn, deed.org_id, monitor.id, wanted)
        refuse_private(deed, wanted)
        edges.replace(deed.conn, deed.org_id, monitor.id, wanted, monitor.version, deed.now)
        return self._again(deed, monitor.id)

    def delete(self, deed: Deed, old: MonitorRow) -> None:
        """Retire it: its incident ends, its rules go, its history stays."""
        bound = alert_rules.page(
            deed.conn, deed.org_id, monitor_id=old.monitor.id, limit=MAX_RULES_NOTED
        )
        for rule in bound.rows:
            deed.note("alert_rule.deleted", "alert_rule", rule.id, before=shown_rule(rule))
        edges.retire(deed.conn, deed.org_id, old.monitor.id, deed.now)

    def show(self, house: House, session: OrgSession, row: MonitorRow) -> dict[str, Any]:
        """Return the answer about a monitor."""
        return shown(house, session, row)

    def show_listed(self, house: House, session: OrgSession, row: MonitorRow) -> dict[str, Any]:
        """Return the answer in a list: the same."""
        return shown(house, session, row)

    def record(self, row: MonitorRow) -> dict[str, Any]:
        """Return the spec without secrets."""
        return rules.redacted(row.monitor.spec)

    def id_of(self, row: MonitorRow) -> Id:
        """Return its id."""
        return row.monitor.id

    def version_of(self, row: MonitorRow) -> int:
        """Return its version."""
        return row.monitor.version

    def changed(self, house: House, row: MonitorRow) -> None:
        """Have the engine act at once."""
        house.engine.changed(row.monitor.id)

    def _again(self, deed: Deed, monitor_id: Id) -> MonitorRow:
        row = self.get(deed.conn, deed.org_id, monitor_id)
        assert row is not None, "it was just written in this transaction"
        return row


MONITORS = Monitors()


def _wanted(query: MonitorQuery) -> MonitorFilter:
    return MonitorFilter(
        status=query.status,
        type=query.type,
        tag=query.tag,
        group=query.group,
        q=query.q,
        sort=query.sort,
    )


async def found(
    house: House, session: OrgSession, wanted: MonitorFilter, offset: int, limit: int
) -> Page[MonitorRow]:
    """Return a page of the organization's monitors; `wanted.sort` is one of SORTS."""
    word = wanted.sort.removeprefix("-")
    if word not in FIGURES:
        return await session.read(monitor_list.page, wanted, offset, limit)
    known: Mapping[Id, float]
    if word == "uptime_24h":
        known = await uptimes_of_a_day(house, session)
    else:
        roster = house.engine.roster
        known = await asyncio.to_thread(glance.response_times, roster, session.org_id)
    largest_first = wanted.sort.startswith("-")
    return await session.read(
        monitor_list.page_by, wanted, known, offset, limit, largest_first=largest_first
    )


async def uptimes_of_a_day(house: House, session: OrgSession) -> dict[Id, float]:
    """Return the uptime of each monitor over the last 24 hours, as it was added up last."""

    async def make() -> dict[Id, float]:
        now = house.clock.now()
        return await session.read(overview.uptimes, now - DAY, now)

    return await house.kept.get((session.org_id, "uptimes"), make)


def shown(house: House, session: OrgSession, row: MonitorRow) -> dict[str, Any]:
    """Return a monitor as the API answers it, for the eyes of `session`."""
    monitor, watch = row.monitor, row.shown
    last = house.engine.last_check(monitor.id)
    is_admin = session.role >= Role.ADMIN
    fields = rules.redacted(monitor.spec, for_admin=is_admin)
    state = MonitorState(
        id=monitor.id,
        org_id=monitor.org_id,
        status=watch.status,
        status_since=rfc3339(watch.since),
        last_check=None if last is None else checks.shown(last, monitor.id),
        created_by=monitor.created_by,
        created_at=rfc3339(monitor.created_at),
        version=monitor.version,
        problem=monitor.damage,
        ping_url=ping_path(monitor) if is_admin else None,
    )
    answer = {**fields, **{name: getattr(state, name) for name in state.__struct_fields__}}
    if not isinstance(monitor.spec, PushSpec):
        del answer["ping_url"]
    return answer


def ping_path(monitor: Monitor) -> str | None:
    """Return where a push monitor's job pings; None for another type."""
    return None if monitor.ping_token is None else f"/ping/{monitor.ping_token}"


def refuse_parent(conn: Conn, org_id: Id, monitor_id: Id | None, spec: MonitorSpec) -> None:
    """Refuse a parent that does not exist, or that depends on the monitor itself.

    Raises:
        ApiError: 400 at `$.parent_id`.
    """
    if spec.parent_id is None:
        return
    wrong = parents.problem(conn, org_id, monitor_id, spec.parent_id)
    if wrong is not None:
        raise invalid([Problem("$.parent_id", wrong)])


def refuse_private(deed: Deed, spec: MonitorSpec) -> None:
    """Refuse a target that is plainly not of the public internet where the organization may reach
    no other; what a name leads to is refused when it is dialled.

    Raises:
        ApiError: 400 at `$.target` or `$.nameserver`.
    """
    if not quotas.of(deed.conn, deed.org_id).private_targets:
        reading.at_least_one(quota_rules.problems(spec))


def refuse_push(spec: MonitorSpec) -> None:
    """Refuse to check what is not checked.

    Raises:
        ApiError: 409 for a push monitor.
    """
    if isinstance(spec, PushSpec):
        raise conflict(
            "NOTHING_TO_CHECK",
            "A push monitor is not checked: it waits for pings. Call its ping URL instead",
        )


async def pause(house: House, session: OrgSession, monitor_id: Id) -> MonitorRow:
    """Pause a monitor; one that is paused stays as it is."""
    return await _switch(house, session, monitor_id, paused=True)


async def resume(house: House, session: OrgSession, monitor_id: Id) -> MonitorRow:
    """Resume a monitor; one that is not paused stays as it is."""
    return await _switch(house, session, monitor_id, paused=False)


async def _switch(house: House, session: OrgSession, monitor_id: Id, *, paused: bool) -> MonitorRow:
    def work(deed: Deed) -> tuple[MonitorRow, bool]:
        old = MONITORS.get(deed.conn, deed.org_id, monitor_id)
        if old is None:
            raise not_found("monitor")
        if not switch(deed, old, paused=paused):
            deed.nothing_changed()
            return old, False
        row = MONITORS.get(deed.conn, deed.org_id, monitor_id)
        assert row is not None, "it was just changed in this transaction"
        return row, True

    row, switched = await session.change(work)
    if switched:
        house.engine.changed(monitor_id)
    return row


def switch(deed: Deed, old: MonitorRow, *, paused: bool) -> bool:
    """Pause or resume a stored monitor, with its audit row; False where it is so already."""
    if old.monitor.spec.is_paused is paused:
        return False
    act = edges.pause if paused else edges.resume
    outcome = act(deed.conn, deed.org_id, old.monitor.id, deed.now)
    after = old.watch if outcome.watch is None else outcome.watch
    deed.note(
        "monitor.paused" if paused else "monitor.resumed",
        "monitor",
        old.monitor.id,
        before={"is_paused": not paused, "status": old.watch.status},
        after={"is_paused": paused, "status": after.status},
    )
    return True


ROUTES = verbs(MONITORS, read=VIEWER, write=ADMIN)
