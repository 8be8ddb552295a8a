"""/v1/maintenance: the five verbs, and ending a window early."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace as with_changes

from netpulse.model.ids import Id, is_id, new_id
from netpulse.model.maintenance import Coverage, Maintenance, Schedule, State, Window
from netpulse.model.time import MINUTE, Millis, rfc3339
from netpulse.rules import maintenance as rules
from netpulse.storage import maintenances, monitors
from netpulse.storage.db import Conn
from netpulse.storage.maintenances import MaintenanceFilter
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.api.checks import Moment, moment
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import Problem, conflict, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset(
    {"id", "org_id", "state", "is_active", "next_start", "next_end", "created_by", "created_at"}
    | {"version"}
)

_MonitorId = Annotated[str, Meta(max_length=100)]
_Tag = Annotated[str, Meta(min_length=1, max_length=64)]


class MaintenanceSpec(Struct, frozen=True, kw_only=True):
    """When, and what. Once: starts_at and ends_at. Again and again: rrule or cron, timezone and
    duration_minutes. Of monitor_ids, tags and all exactly one."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    description: Annotated[str, Meta(max_length=5000)] = ""
    starts_at: Moment | None = None
    """RFC 3339. Of a recurring one: where its rule begins to count (DTSTART); absent: now."""
    ends_at: Moment | None = None
    """RFC 3339; of one that is once."""
    rrule: Annotated[str, Meta(max_length=500)] | None = None
    """RFC 5545: FREQ=WEEKLY;BYDAY=SU;BYHOUR=2;BYMINUTE=0."""
    cron: Annotated[str, Meta(max_length=100)] | None = None
    """Five fields: minute, hour, day, month, weekday."""
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    """An IANA name: whose clock on the wall rrule and cron follow."""
    duration_minutes: Annotated[int, Meta(ge=rules.SHORTEST, le=rules.LONGEST)] | None = None
    """Elapsed minutes of each window of a recurring one."""
    monitor_ids: Annotated[list[_MonitorId], Meta(max_length=1000)] | None = None
    tags: Annotated[list[_Tag], Meta(max_length=50)] | None = None
    """Every monitor that has one of them, those included that get it later."""
    all: bool = False
    """Every monitor, those added later included."""
    is_public: bool = False
    """It may be announced on status pages."""


class MaintenanceAnswer(Struct, frozen=True, kw_only=True):
    """A maintenance."""

    id: Id
    org_id: Id
    title: str
    description: str
    starts_at: str
    ends_at: str | None
    rrule: str | None
    cron: str | None
    timezone: str
    duration_minutes: int | None
    monitor_ids: list[Id] | None
    tags: list[str] | None
    all: bool
    is_public: bool
    state: State
    """planned, active or over."""
    is_active: bool
    next_start: str | None
    """Of the window that lasts, or else of the next; null when there is none to come."""
    next_end: str | None
    created_by: Id | None
    created_at: str
    version: int


class MaintenanceQuery(ListQuery, frozen=True, kw_only=True):
    """Which of them."""

    state: State | None = None
    monitor_id: Annotated[str, Meta(max_length=100)] | None = None
    """Those that cover this monitor."""


class Maintenances(Noun[MaintenanceSpec, Maintenance, Maintenance, MaintenanceQuery]):
    """Planned maintenance."""

    word: ClassVar[str] = "maintenance"
    path: ClassVar[str] = "/v1/maintenance"
    kind: ClassVar[str] = "maintenance"
    spec: ClassVar[Any] = MaintenanceSpec
    answer: ClassVar[Any] = MaintenanceAnswer
    query: ClassVar[type[ListQuery]] = MaintenanceQuery

    def read_spec(self, values: dict[str, Any]) -> MaintenanceSpec:
        """Return the spec; when it is to be is judged by the clock, in the transaction."""
        spec = reading.into(MaintenanceSpec, values, ignore=READ_ONLY)
        tags = tuple(dict.fromkeys(tag.strip() for tag in spec.tags or ()))
        spec = with_changes(
            spec,
            title=spec.title.strip(),
            description=spec.description.strip(),
            rrule=(spec.rrule or "").strip().upper().removeprefix("RRULE:") or None,
            cron=" ".join((spec.cron or "").split()) or None,
            tags=list(tags) or None,
            monitor_ids=list(dict.fromkeys(spec.monitor_ids or ())) or None,
        )
        problems = reading.line_problems("$.title", spec.title)
        start = moment(spec.starts_at, "$.starts_at", problems)
        moment(spec.ends_at, "$.ends_at", problems)
        recurring = spec.rrule is not None or spec.cron is not None
        if start is None and not recurring and spec.starts_at is None:
            problems.append(Problem("$.starts_at", "this field is required"))
        if "" in tags:
            problems.append(Problem("$.tags", "a tag is empty"))
        chosen = [spec.monitor_ids is not None, spec.tags is not None, spec.all].count(True)
        if chosen != 1:
            problems.append(
                Problem("$.monitor_ids", "give exactly one of monitor_ids, tags and all")
            )
        reading.at_least_one(problems)
        return spec

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> Maintenance | None:
        """Return one."""
        return maintenances.get(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: MaintenanceQuery) -> Page[Maintenance]:
        """Return a page of them."""
        wanted = MaintenanceFilter(state=query.state, monitor_id=query.monitor_id)
        return maintenances.page(conn, org_id, wanted, offset=query.offset, limit=query.limit)

    def insert(self, deed: Deed, spec: MaintenanceSpec) -> Maintenance:
        """Store a new one."""
        draft = Maintenance(
            id=new_id(deed.now),
            org_id=deed.org_id,
            title=spec.title,
            schedule=Schedule(starts_at=deed.now - deed.now % MINUTE),
            coverage=Coverage(),
            created_by=deed.actor.user_id,
            created_at=deed.now,
        )
        filled = self._filled(deed, draft, spec)
        reading.at_least_one([*rules.problems(filled.schedule, deed.now)])
        return maintenances.insert(deed.conn, filled, deed.now)

    def replace(self, deed: Deed, old: Maintenance, spec: MaintenanceSpec) -> Maintenance:
        """Store another spec. Times that are not changed are not judged again."""
        filled = self._filled(deed, old, spec)
        if filled.schedule != old.schedule:
            reading.at_least_one([*rules.problems(filled.schedule, deed.now)])
        return maintenances.replace(deed.conn, filled, expected_version=old.version, now=deed.now)

    def delete(self, deed: Deed, old: Maintenance) -> None:
        """Remove it; a window that lasts ends."""
        maintenances.delete(deed.conn, old, deed.now)

    def show(self, house: House, session: OrgSession, row: Maintenance) -> MaintenanceAnswer:
        """Return the answer about one."""
        del house
        return shown(row, session.now)

    def show_listed(self, house: House, session: OrgSession, row: Maintenance) -> MaintenanceAnswer:
        """Return the answer in a list: the same."""
        return self.show(house, session, row)

    def record(self, row: Maintenance) -> dict[str, Any]:
        """Return what a person has set."""
        return entered(row)

    def id_of(self, row: Maintenance) -> Id:
        """Return its id."""
        return row.id

    def version_of(self, row: Maintenance) -> int:
        """Return its version."""
        return row.version

    def changed(self, house: House, row: Maintenance) -> None:
        """Have it begin or end at once."""
        house.engine.maintenance_changed()
        house.shelf.edited(row.org_id)

    def _filled(self, deed: Deed, item: Maintenance, spec: MaintenanceSpec) -> Maintenance:
        """Return `item` with what `spec` says, after a look at what it names."""
        wanted = spec.monitor_ids or []
        known = monitors.present(deed.conn, deed.org_id, [one for one in wanted if is_id(one)])
        reading.at_least_one(
            [
                Problem(f"$.monitor_ids[{place}]", "there is no monitor with this id")
                for place, one in enumerate(wanted)
                if one not in known
            ]
        )
        return with_changes(
            item,
            title=spec.title,
            description=spec.description,
            schedule=schedule_of(spec, item.schedule.starts_at),
            coverage=Coverage(all=spec.all, monitor_ids=tuple(wanted), tags=tuple(spec.tags or ())),
            is_public=spec.is_public,
        )


MAINTENANCES = Maintenances()


def schedule_of(spec: MaintenanceSpec, starts_at: Millis) -> Schedule:
    """Return when a spec that was read says it is; `starts_at` counts where it says no start."""
    given = moment(spec.starts_at, "$.starts_at", [])
    return Schedule(
        starts_at=starts_at if given is None else given,
        ends_at=moment(spec.ends_at, "$.ends_at", []),
        rrule=spec.rrule,
        cron=spec.cron,
        timezone=spec.timezone,
        duration_minutes=spec.duration_minutes,
    )


def entered(item: Maintenance) -> dict[str, Any]:
    """Return the fields that a person sets."""
    schedule, coverage = item.schedule, item.coverage
    return {
        "title": item.title,
        "description": item.description,
        "starts_at": rfc3339(schedule.starts_at),
        "ends_at": None if schedule.ends_at is None else rfc3339(schedule.ends_at),
        "rrule": schedule.rrule,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "duration_minutes": schedule.duration_minutes,
        "monitor_ids": list(coverage.monitor_ids) or None,
        "tags": list(coverage.tags) or None,
        "all": coverage.all,
        "is_public": item.is_public,
    }


def shown(item: Maintenance, now: Millis) -> MaintenanceAnswer:
    """Return a maintenance as the API answers it."""
    state = item.state(now)
    window: Window | None = None if state is State.OVER else item.next
    return MaintenanceAnswer(
        **entered(item),
        id=item.id,
        org_id=item.org_id,
        state=state,
        is_active=state is State.ACTIVE,
        next_start=None if window is None else rfc3339(window.start),
        next_end=None if window is None else rfc3339(window.end),
        created_by=item.created_by,
        created_at=rfc3339(item.created_at),
        version=item.version,
    )


async def end(house: House, session: OrgSession, maintenance_id: Id) -> Maintenance:
    """End the window that lasts.

    Raises:
        ApiError: 404, or 409 when none lasts.
    """

    def work(deed: Deed) -> Maintenance:
        old = maintenances.get(deed.conn, deed.org_id, maintenance_id)
        if old is None:
            raise not_found("maintenance")
        if old.state(deed.now) is not State.ACTIVE:
            raise conflict(
                "MAINTENANCE_NOT_ACTIVE", "No window of this maintenance lasts now; nothing to end"
            )
        item = maintenances.end(deed.conn, old, deed.now)
        deed.note(
            "maintenance.ended",
            "maintenance",
            maintenance_id,
            before={"next_end": None if old.next is None else rfc3339(old.next.end)},
            after={"next_end": rfc3339(deed.now)},
        )
        return item

    item = await session.change(work)
    house.engine.maintenance_changed()
    house.shelf.edited(session.org_id)
    return item


@endpoint(
    "POST",
    "/v1/maintenance/{id:str}/end",
    access=ADMIN,
    tag="maintenance",
    summary="End the window that lasts",
    answer=MaintenanceAnswer,
    errors=(404, 409),
)
async def end_one(call: Call) -> One[Any]:
    """End the window that lasts; a recurring one comes again."""
    item = await end(call.house, call.session, call.id("id", "maintenance"))
    call.tag(item.version)
    return One.of(shown(item, call.session.now))


ROUTES = (*verbs(MAINTENANCES, read=VIEWER, write=ADMIN), end_one)
