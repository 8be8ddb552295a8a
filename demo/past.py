"""A past that nobody has waited for: written by the product's own functions before it starts.

Outages go by its rules through the transaction that the engine uses; checks into the files of raw
results, those of days gone by packed as they would be by now.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from demo.company import Trouble, Watched
from netpulse.model.alert import Attempt
from netpulse.model.check import LOCAL, Check, Result, Timings, round_latency
from netpulse.model.edge import Edge
from netpulse.model.ids import Id
from netpulse.model.incident import IncidentStatus
from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    HttpsSpec,
    Monitor,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.time import DAY, HOUR, SECOND, Millis
from netpulse.model.watch import Watch
from netpulse.rules import incidents as rules
from netpulse.rules.schedule import next_slot, phase_ms
from netpulse.storage import acknowledging, edges, incident_list, incidents, settling
from netpulse.storage.conn import Conn
from netpulse.storage.raw import month
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.figures import hour_figures
from netpulse.storage.raw.files import create, empty_log, open_file
from netpulse.storage.raw.month import day_stretch, hour_stretch
from netpulse.storage.raw.names import Places, day_of, hour_of, month_of
from netpulse.storage.raw.packing import pack
from netpulse.storage.raw.row import Row, to_row
from netpulse.storage.rollups import Rollup

CLOSE = 26 * HOUR
"""How far back checks lie as closely as the monitor makes them: the chart of a day."""
COARSE = 1800
"""Seconds between the checks of the days before."""
WELL = Trouble(0, None, Result.UP, None, "")

Scene = tuple[Millis, int, Callable[[Conn], None]]
"""Something that happens: when, in which order among what happens at once, and what."""


def live(conn: Conn, lives: Sequence[tuple[Monitor, Watched]], now: Millis) -> None:
    """Let monitors live through their troubles in the order of time, and people see to them."""
    watches = {monitor.id: Watch(since=monitor.created_at) for monitor, _ in lives}
    scenes: list[Scene] = []
    for monitor, watched in lives:
        scenes.append(_turn(watches, monitor, monitor.created_at + SECOND, WELL))
        for trouble in watched.troubles:
            at = now - trouble.ago
            scenes.append(_turn(watches, monitor, at, trouble))
            scenes += _doings(monitor, at, trouble)
            if trouble.lasted is not None:
                scenes.append(_turn(watches, monitor, at + trouble.lasted, WELL))
    for _, _, happen in sorted(scenes, key=lambda scene: scene[:2]):
        happen(conn)


def _turn(watches: dict[Id, Watch], monitor: Monitor, at: Millis, trouble: Trouble) -> Scene:
    def happen(conn: Conn) -> None:
        needed = 1 if trouble is WELL else monitor.spec.confirmations
        for attempt in range(needed):
            due = at + attempt * monitor.spec.retry_seconds * SECOND
            check = check_of(monitor, due, trouble, 60.0)
            decided = check.started_at + 90
            watch, flip = rules.step(monitor.spec, watches[monitor.id], check, now=decided)
            outcome = edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))
            watches[monitor.id] = outcome.watch or watch
            _told(conn, outcome.notice_ids, decided)

    return at, 0, happen


def _told(conn: Conn, notice_ids: Iterable[Id], at: Millis) -> None:
    """Have notices delivered at once."""
    for notice_id in notice_ids:
        attempt = Attempt(at=at + 140, ok=True, status_code=200, answer="ok", latency_ms=61)
        settling.sent(conn, notice_id, attempt, at + 140)


def _doings(monitor: Monitor, begun: Millis, trouble: Trouble) -> Iterator[Scene]:
    """Yield what people did about an outage while it lasted, and what they wrote down after it."""
    for after, what, words in trouble.told:
        at = begun + after

        def happen(conn: Conn, at: Millis = at, what: str = what, words: str = words) -> None:
            open_one = incidents.open_of(conn, monitor.id)
            assert open_one is not None, "the outage lasts"
            if what == "acknowledged":
                done = acknowledging.acknowledge(
                    conn, monitor.org_id, open_one.id, by=words, via="page", now=at
                )
                _told(conn, done.notice_ids, at)
                return
            incidents.add_update(
                conn,
                monitor.org_id,
                open_one.id,
                words,
                now=at,
                user_id=monitor.created_by,
                status=IncidentStatus(what),
                is_public=True,
            )

        yield at, 1, happen
    if trouble.cause is not None and trouble.lasted is not None:
        cause, at = trouble.cause, begun + trouble.lasted + 40 * 60 * SECOND

        def write_down(conn: Conn) -> None:
            found = incident_list.for_monitor(conn, monitor.id, begun, at)[-1]
            incidents.patch(
                conn,
                monitor.org_id,
                found.id,
                now=at,
                user_id=monitor.created_by,
                root_cause=cause,
            )

        yield at, 2, write_down


def check_of(monitor: Monitor, at: Millis, trouble: Trouble | None, took: float) -> Check:
    """Return a check due at `at`, in a trouble or without one, that took `took` milliseconds."""
    spec = monitor.spec
    if trouble is not None and trouble.result is Result.DOWN:
        return Check(
            due_at=at,
            started_at=at,
            result=Result.DOWN,
            status_code=trouble.status_code,
            failure=trouble.failure,
            message=trouble.message,
            response_time_ms=61 if trouble.status_code else None,
        )
    if isinstance(spec, PushSpec):
        return Check(due_at=at, started_at=at, result=Result.UP)
    slow = trouble is not None and trouble.result is Result.DEGRADED
    if slow and isinstance(spec, HttpSpec):
        took = 1140.0
    phases: dict[str, float] = {}
    if isinstance(spec, DnsSpec):
        phases["dns_ms"] = took
    elif isinstance(spec, HttpSpec | TcpSpec | SslSpec):
        phases["dns_ms"] = took * 0.02
        phases["connect_ms"] = min(9.0, took * 0.12)
        if isinstance(spec, HttpsSpec | SslSpec):
            phases["tls_ms"] = took * 0.3
        if isinstance(spec, HttpSpec):
            phases["first_byte_ms"] = took * 0.97 - sum(phases.values())
    rounded = {name: round_latency(value) for name, value in phases.items()}
    return Check(
        due_at=at,
        started_at=at,
        result=Result.DEGRADED if slow else Result.UP,
        status_code=200 if isinstance(spec, HttpSpec) else None,
        response_time_ms=round(took),
        message=trouble.message if slow and trouble is not None else None,
        timings=Timings(total_ms=round_latency(took), **rounded),
    )


def checks(
    monitor: Monitor, watched: Watched, now: Millis, since: Millis, until: Millis
) -> list[Row]:
    """Return a monitor's checks due from `since` to before `until` as they are stored: of the last
    day before `now` closely, before it coarsely. Its troubles are those of before `now`."""
    dice = random.Random(f"{monitor.spec.name}/{since}")
    close = monitor.spec.interval_seconds * SECOND
    coarse = max(close, COARSE * SECOND)
    found: list[Row] = []
    at = since
    while True:
        step = coarse if at < now - CLOSE else close
        at = next_slot(at, step, phase_ms(monitor.id, step))
        if at >= until:
            return found
        # Busier by day, and now and then a hiccup.
        wave = 1 + 0.25 * math.sin(at / DAY * 2 * math.pi)
        hiccup = dice.uniform(1.8, 3.2) if dice.random() < 0.012 else 1.0
        took = watched.usual_ms * wave * hiccup * dice.lognormvariate(0, 0.09)
        state = next((each for each in watched.troubles if _during(each, at, now)), None)
        found.append(to_row(check_of(monitor, at, state, took)))


def _during(trouble: Trouble, at: Millis, now: Millis) -> bool:
    begun = now - trouble.ago
    return begun <= at and (trouble.lasted is None or at < begun + trouble.lasted)


def store(data: Path, stored: Iterable[tuple[int, list[Row]]], now: Millis) -> list[Rollup]:
    """Put the rows of monitors (by key) into the files of their months, and return the rollups of
    their hours. All are due before the hour that lasts."""
    places = Places(data)
    places.checks.mkdir(mode=0o700, parents=True, exist_ok=True)
    today = day_of(now)
    open_files: dict[str, Any] = {}
    rollups = []
    try:
        for key, rows in stored:
            for hour, part in groupby(rows, lambda row: hour_of(row[0])):
                rollups.append(_rollup(key, hour, Block.of(list(part))))
            for begun, part in groupby(rows, lambda row: _blob_of(row[0], today)):
                block = Block.of(list(part))
                name = month_of(begun)
                if name not in open_files:
                    path = places.month_path(name)
                    create(path, month.SCHEMA, month.VERSION, page_bytes=month.PAGE_BYTES)
                    open_files[name] = open_file(path, month.VERSION)
                    open_files[name].execute("BEGIN IMMEDIATE")
                stretch = day_stretch(begun) if begun < today else hour_stretch(begun)
                month.store(open_files[name], key, stretch, block.size, pack(block))
        for connection in open_files.values():
            connection.execute("COMMIT")
            empty_log(connection)
    finally:
        for connection in open_files.values():
            connection.close()
    return rollups


def _blob_of(at: Millis, today: Millis) -> Millis:
    return day_of(at) if at < today else hour_of(at)


def _rollup(key: int, hour: Millis, block: Block) -> Rollup:
    figures = hour_figures(block, 0, block.size)
    return Rollup(
        key=key,
        from_ms=hour,
        checks=figures.checks,
        ups=figures.ups,
        degraded=figures.degraded,
        downs=figures.downs,
        inconclusive=figures.inconclusive,
        response_count=figures.response_count,
        response_sum=figures.response_sum,
        response_min=figures.response_min,
        response_max=figures.response_max,
        region=LOCAL,
    )
