"""Many monitors at once from a pasted list: what each line becomes, and making them in one go."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.monitor import MOST_TAGS, MonitorSpec, Tag
from netpulse.rules import pasted, targets
from netpulse.rules import quotas as quota_rules
from netpulse.rules.pasted import HostType, Line
from netpulse.storage import quotas
from netpulse.storage.db import Conn
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web import reading
from netpulse.web.api import monitors as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import ApiError, Problem, invalid
from netpulse.web.session import Deed


class ImportListSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list, and what all of its monitors have in common."""

    text: Annotated[str, Meta(max_length=262_144)]
    """One a line: a URL, host:port or a host, with `name,` before it if it should have a name of
    its own. Lines that begin with # are passed over."""
    host_type: HostType = "icmp"
    """What a host alone becomes: something to ping, or the page at https://."""
    interval_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 60
    group: Annotated[str, Meta(max_length=100)] = ""
    tags: Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)] = ()
    is_paused: bool = False
    dry_run: bool = False
    """Only say what each line would become."""


class LineAnswer(Struct, frozen=True, kw_only=True):
    """What a line becomes, or became."""

    line: int
    """Its number in the text, from 1."""
    type: str
    name: str
    target: str
    """As it is stored, without a password."""
    problems: list[Problem]
    """Why it cannot be, by the rules of `POST /v1/monitors`."""
    id: Id | None
    """Once it is made."""


class ImportListAnswer(Struct, frozen=True, kw_only=True):
    """The list as it was understood."""

    lines: list[LineAnswer]
    problems: list[Problem]
    """Why none of it can be: settings that are wrong for all, or a quota."""
    created: int


class Read(Struct, frozen=True):
    """A line with the monitor it stands for, or what is wrong with it."""

    line: Line
    spec: MonitorSpec | None
    problems: tuple[Problem, ...]


COMMON = frozenset({"interval_seconds", "group", "tags", "is_paused"})


async def understood(call: Call, spec: ImportListSpec) -> tuple[list[Read], list[Problem]]:
    """Return what the lines stand for, and what is wrong with all of them."""
    found = pasted.lines(spec.text, spec.host_type)
    if not found:
        return [], [Problem("$.text", "name at least one thing to watch, one on each line")]
    if len(found) > pasted.MOST_LINES:
        most = f"{len(found)} lines are more than the {pasted.MOST_LINES} that go at once"
        return [], [Problem("$.text", f"{most}; paste them in parts")]
    return await call.session.read(_judged, found, spec)


def _judged(
    conn: Conn, org_id: Id, found: list[Line], spec: ImportListSpec
) -> tuple[list[Read], list[Problem]]:
    allowed = quotas.of(conn, org_id)
    reads: list[Read] = []
    common: dict[str, Problem] = {}
    for line in found:
        problems: list[Problem] = []
        made: MonitorSpec | None = None
        try:
            made = api.checked(api.spec_of(_values(line, spec)))
            if not allowed.private_targets:
                reading.at_least_one(quota_rules.problems(made))
        except ApiError as error:
            for each in error.details["errors"]:
                field = each["path"].removeprefix("$.").partition("[")[0]
                if field in COMMON:
                    # The same for every line: it is said once.
                    common[each["path"]] = Problem(each["path"], each["message"])
                else:
                    problems.append(Problem(each["path"], each["message"]))
        if line.same_as is not None:
            problems.append(Problem("$.target", f"the same as line {line.same_as}"))
        reads.append(Read(line, None if problems else made, tuple(problems)))
    room = None
    if allowed.monitors is not None:
        used = quotas.used(conn, [org_id], 0)[org_id].monitors
        room = max(0, allowed.monitors - used)
        # Lines that cannot be may be left out: they take no room.
        wanted = sum(not each.problems for each in reads)
        if wanted > room:
            said = f"these are {wanted} monitors, and there is room for {room} more"
            common["$.text"] = Problem("$.text", said)
    return reads, list(common.values())


def _values(line: Line, spec: ImportListSpec) -> dict[str, Any]:
    return {
        "type": line.type,
        "name": line.name,
        "target": line.target,
        "interval_seconds": spec.interval_seconds,
        "group": spec.group,
        "tags": list(spec.tags),
        "is_paused": spec.is_paused,
    }


async def create(call: Call, spec: ImportListSpec) -> ImportListAnswer:
    """Say what the lines become, and make them unless `dry_run`: all of them or none.

    Raises:
        ApiError: 400 with every problem, `$.text:<line>` for that of a line; 409 where the
            organization has as many monitors as it may.
    """
    reads, common = await understood(call, spec)
    if spec.dry_run:
        return ImportListAnswer(
            lines=[shown(each, None) for each in reads], problems=common, created=0
        )
    wrong = [
        Problem(f"$.text:{each.line.number}", _said(problem))
        for each in reads
        for problem in each.problems
    ]
    if common or wrong:
        raise invalid([*common, *wrong])
    specs = [each.spec for each in reads if each.spec is not None]

    def work(deed: Deed) -> list[MonitorRow]:
        rows = []
        for each in specs:
            row = api.MONITORS.insert(deed, each)
            deed.note("monitor.created", "monitor", row.monitor.id, after=api.MONITORS.record(row))
            rows.append(row)
        return rows

    rows = await call.session.change(work)
    for row in rows:
        call.house.engine.changed(row.monitor.id)
    return ImportListAnswer(
        lines=[shown(each, row.monitor.id) for each, row in zip(reads, rows, strict=True)],
        problems=[],
        created=len(rows),
    )


def _said(problem: Problem) -> str:
    field = problem.path.removeprefix("$.")
    return problem.message if field == "target" else f"{field}: {problem.message}"


def shown(read: Read, monitor_id: Id | None) -> LineAnswer:
    """Return a line as the API answers it."""
    line, spec = read.line, read.spec
    target = line.target.rpartition("@")[2] if spec is None else targets.shown(spec.target)
    return LineAnswer(
        line=line.number,
        type=line.type,
        name=line.name,
        target=target,
        problems=list(read.problems),
        id=monitor_id,
    )


@endpoint(
    "POST",
    "/v1/monitors/import-list",
    access=ADMIN,
    tag="monitors",
    summary="Make many monitors from a list of URLs and hosts, all of them or none",
    body=ImportListSpec,
    answer=ImportListAnswer,
    errors=(409,),
)
async def import_list(call: Call) -> One[ImportListAnswer]:
    """Say what each line becomes; with `dry_run` nothing is made."""
    return One.of(await create(call, await call.body(ImportListSpec)))


ROUTES = (import_list,)
