"""One action on many monitors: pause, resume, add or remove a tag, delete, check now.

Each is done as it is done to one, with the same refusals and an audit row of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import MOST_TAGS, MonitorSpec
from netpulse.model.time import rfc3339
from netpulse.model.watch import Status
from netpulse.storage import monitor_list, monitors
from netpulse.storage.db import StorageTrouble
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web.api import monitors as api
from netpulse.web.bulk import Job, Left, Step, Stopped
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import ApiError, Problem, conflict, invalid, not_found
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession

Action = Literal["pause", "resume", "add_tag", "remove_tag", "delete", "check"]
MOST_IDS = 1_000
"""Monitors that may be named one by one; a filter has no such bound."""
ENDED = "whoever began it has signed out, or may not change monitors here any more"
PATIENCE_SECONDS = 2.0
"""How long an answer waits for the work to be done before it says how far it is."""


class BulkFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All monitors that fit, as the list of monitors has it; an empty one is all there are."""

    status: Status | None = None
    type: Annotated[str, Meta(max_length=20)] | None = None
    tag: Annotated[str, Meta(max_length=64)] | None = None
    group: Annotated[str, Meta(max_length=100)] | None = None
    q: Annotated[str, Meta(max_length=200)] | None = None

    @property
    def wanted(self) -> MonitorFilter:
        """As storage takes it."""
        return MonitorFilter(
            status=self.status, type=self.type, tag=self.tag, group=self.group, q=self.q
        )


class BulkSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do, and with which monitors: `monitor_ids` or `filter`."""

    action: Action
    monitor_ids: (
        Annotated[tuple[Annotated[Id, Meta(max_length=100)], ...], Meta(max_length=MOST_IDS)] | None
    ) = None
    filter: BulkFilter | None = None
    tag: Annotated[str, Meta(max_length=64)] | None = None
    """With add_tag and remove_tag."""


class LeftAnswer(Struct, frozen=True):
    """A monitor that was left as it was."""

    monitor_id: Id
    name: str
    message: str


class BulkAnswer(Struct, frozen=True, kw_only=True):
    """How far it is. Ask again at /v1/monitors/bulk/{id} until `is_done`."""

    id: Id
    action: str
    tag: str | None
    total: int
    """Monitors that it is about: those that fit when it began."""
    done: int
    """Of them, those that were looked at."""
    changed: int
    """Of those, the ones that are another now, or were checked. The others were so already."""
    left_total: int
    """Those that could not be changed."""
    left: list[LeftAnswer]
    """The first of them, and why."""
    is_done: bool
    stopped: str | None
    """Why it ended before all was done; what was done stays."""
    begun_at: str


def shown(job: Job) -> BulkAnswer:
    """Return a piece of work as the API answers it."""
    return BulkAnswer(
        id=job.id,
        action=job.action,
        tag=job.tag,
        total=job.total,
        done=job.done,
        changed=job.changed,
        left_total=job.left_total,
        left=[LeftAnswer(each.id, each.name, each.message) for each in job.left],
        is_done=job.is_done,
        stopped=job.stopped,
        begun_at=rfc3339(job.begun_at),
    )


async def begin(call: Call, spec: BulkSpec, confirmed: Sequence[Id] | None = None) -> Job:
    """Begin what `spec` says and wait a moment for its end. Where somebody was asked, `confirmed`
    are the organization's monitors that they said yes to, and nothing is looked up anew.

    Raises:
        ApiError: 400 for what cannot be meant, or for monitors that are not the organization's;
            409 while another such piece of work is under way.
    """
    house, session = call.house, call.session
    tag = _tag(spec)
    ids: Sequence[Id]
    if confirmed is not None:
        ids = confirmed
    elif spec.monitor_ids is not None:
        ids = list(dict.fromkeys(spec.monitor_ids))
        there = await session.read(monitors.present, ids)
        gone = [number for number, each in enumerate(spec.monitor_ids) if each not in there]
        if gone:
            path = f"$.monitor_ids[{gone[0]}]"
            raise invalid([Problem(path, "there is no monitor with this id")])
    else:
        assert spec.filter is not None, "one of the two is there"
        ids = await session.read(monitor_list.matching, spec.filter.wanted)
    # Nothing is awaited between this and the beginning: no two begin at once.
    if house.jobs.busy(session.org_id) is not None:
        raise conflict(
            "BULK_RUNNING",
            "Another change of many monitors is under way in this organization; wait until it is "
            "done",
        )
    job = Job(
        id=new_id(call.now),
        org_id=session.org_id,
        action=spec.action,
        tag=tag,
        total=len(ids),
        begun_at=call.now,
    )

    async def work(some: Sequence[Id]) -> Step:
        if spec.action == "check":
            return await _check(house, session, some)
        return await _change(house, session, spec.action, tag, some)

    house.jobs.begin(job, ids, work, house.stopping)
    await house.jobs.wait(job, PATIENCE_SECONDS)
    return job


def _tag(spec: BulkSpec) -> str | None:
    problems = []
    if spec.monitor_ids == ():
        problems.append(Problem("$.monitor_ids", "name at least one"))
    if (spec.monitor_ids is None) == (spec.filter is None):
        problems.append(Problem("$.monitor_ids", "give monitor_ids or filter, and not both"))
    tag = (spec.tag or "").strip() or None
    with_tag = spec.action in {"add_tag", "remove_tag"}
    if with_tag and tag is None:
        problems.append(Problem("$.tag", "say which tag"))
    if not with_tag and tag is not None:
        problems.append(Problem("$.tag", f"goes with add_tag and remove_tag, not {spec.action}"))
    if problems:
        raise invalid(problems)
    return tag


async def _change(
    house: House, session: OrgSession, action: str, tag: str | None, some: Sequence[Id]
) -> Step:
    """Change some monitors in one transaction, and tell the engine of those that did change."""
    # The work may outlast the request that began it by minutes.
    session = replace(session, now=house.clock.now())

    def work(deed: Deed) -> tuple[list[Id], list[Left]]:
        deed.nothing_changed()
        changed, left = [], []
        for monitor_id in some:
            row = api.MONITORS.get(deed.conn, deed.org_id, monitor_id)
            if row is None:
                continue  # somebody has deleted it meanwhile
            try:
                if _one(deed, row, action, tag):
                    changed.append(monitor_id)
            except ApiError as error:
                # Refused before anything of it was written.
                left.append(Left(monitor_id, row.monitor.spec.name, reason(error)))
        return changed, left

    try:
        changed, left = await session.change(work)
    except ApiError as refused:
        # Each transaction asks anew whether the sign-in stands and the role is as high.
        if refused.status not in {401, 403}:
            raise
        raise Stopped(ENDED) from None
    except StorageTrouble as trouble:
        raise Stopped(f"NetPulse cannot write its data: {trouble}") from None
    for monitor_id in changed:
        house.engine.changed(monitor_id)
    return Step(changed=len(changed), left=tuple(left))


def _one(deed: Deed, row: MonitorRow, action: str, tag: str | None) -> bool:
    """Do it to one; returns whether it is another now."""
    if action in {"pause", "resume"}:
        return api.switch(deed, row, paused=action == "pause")
    if action == "delete":
        api.MONITORS.delete(deed, row)
        deed.note("monitor.deleted", "monitor", row.monitor.id, before=api.MONITORS.record(row))
        return True
    assert tag is not None, "it was asked for"
    spec = _tagged(row.monitor.spec, action, tag)
    if spec is None:
        return False
    if row.monitor.damage is not None:
        # What stands in its place is not what to store.
        raise invalid([Problem("$", row.monitor.damage)])
    after = api.MONITORS.replace(deed, row, spec)
    deed.note(
        "monitor.updated",
        "monitor",
        row.monitor.id,
        before=api.MONITORS.record(row),
        after=api.MONITORS.record(after),
    )
    return True


def _tagged(spec: MonitorSpec, action: str, tag: str) -> MonitorSpec | None:
    """Return the spec with the tag or without it; None where that is so already.

    Raises:
        ApiError: 400 for one tag too many.
    """
    if (tag in spec.tags) is (action == "add_tag"):
        return None
    tags = (
        (*spec.tags, tag)
        if action == "add_tag"
        else tuple(each for each in spec.tags if each != tag)
    )
    if len(tags) > MOST_TAGS:
        raise invalid([Problem("$.tags", f"a monitor has at most {MOST_TAGS}")])
    return replace(spec, tags=tags)


async def _check(house: House, session: OrgSession, some: Sequence[Id]) -> Step:
    """Check some monitors by hand, as many as may be in a minute."""
    rows = await session.read(monitor_list.rows_of, some)
    left: list[Left] = []
    taken = []
    for row in rows:
        spec = row.monitor.spec
        try:
            api.refuse_push(spec)
        except ApiError as error:
            left.append(Left(row.monitor.id, spec.name, reason(error)))
            continue
        wait = house.rates.runs.wait(session.org_id, house.clock.monotonic())
        if wait:
            left.append(
                Left(
                    row.monitor.id,
                    spec.name,
                    "not checked: too many checks by hand in one minute",
                )
            )
            continue
        taken.append(house.engine.check_now(session.org_id, row.monitor))
    await asyncio.gather(*taken)
    if taken:
        await house.raw.flush()
    return Step(changed=len(taken), left=tuple(left))


def reason(error: ApiError) -> str:
    """Return in words why one was refused."""
    listed = error.details.get("errors")
    if not listed:
        return error.message
    return "; ".join(
        each["message"] if each["path"] == "$" else f"{each['path'][2:]}: {each['message']}"
        for each in listed
    )


@endpoint(
    "POST",
    "/v1/monitors/bulk",
    access=ADMIN,
    tag="monitors",
    summary="Do one thing to many monitors: those named, or all that fit a filter",
    body=BulkSpec,
    answer=BulkAnswer,
    errors=(409,),
)
async def begin_bulk(call: Call) -> One[BulkAnswer]:
    """Begin it; what takes longer than two seconds goes on after the answer."""
    return One.of(shown(await begin(call, await call.body(BulkSpec))))


@endpoint(
    "GET",
    "/v1/monitors/bulk/{id:str}",
    access=VIEWER,
    tag="monitors",
    summary="Read how far a change of many monitors is; it is remembered until the next start",
    answer=BulkAnswer,
    errors=(404,),
)
async def read_bulk(call: Call) -> One[BulkAnswer]:
    """Say how far it is."""
    job = call.house.jobs.get(call.session.org_id, call.id("id", "bulk change"))
    if job is None:
        raise not_found("bulk change")
    return One.of(shown(job))


ROUTES = (begin_bulk, read_bulk)
