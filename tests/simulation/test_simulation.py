"""Thousands of hours of monitors' lives, and what must be so after every step of them."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from netpulse.crypto.vault import Vault
from netpulse.model import ids
from netpulse.model.alert import PROBLEMS, Cause, Event, Notice, NoticeStatus
from netpulse.model.channel import MACHINES
from netpulse.model.ids import Id
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.model.watch import Status
from netpulse.rules import uptime
from netpulse.storage import audit_chains, spans
from netpulse.storage.adapter import wrapped
from netpulse.storage.conn import Conn
from netpulse.storage.migrations import migrations
from tests.simulation.life import Life, Told, received
from tests.store import MASTER, NOW

HOURS = float(os.environ.get("NETPULSE_SIMULATED_HOURS", "100"))
"""Of each life; a life has eight monitors."""
LIVES = 4
LONGEST_WAIT = 26 * HOUR
"""Until the next look at a notice: a day of attempts, or quiet hours, and an hour of the clock."""


@pytest.fixture
def conn() -> Iterator[Conn]:
    """A main file of its own, used by this thread alone."""
    with tempfile.TemporaryDirectory() as folder:
        raw = apsw.Connection(str(Path(folder) / "netpulse.db"))
        raw.execute("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON").fetchall()
        migrations().apply(wrapped(raw))
        yield Conn(raw, Vault(MASTER))
        raw.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(LIVES))
def test_a_life(conn: Conn, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same lives at every run: `make soak` lives others, and longer.
    seed = int(os.environ.get("NETPULSE_SEED", "300")) + number
    print(f"seed {seed}")
    # Ids decide what comes first where all else is equal: they come from the seed, too.
    monkeypatch.setattr(ids.secrets, "randbits", random.Random(seed).getrandbits)
    life = Life(conn, seed, NOW)
    began = life.now
    steps = 0

    seen = Seen()

    def after_each() -> None:
        nonlocal steps
        steps += 1
        look(conn, life, seen)

    life.live(HOURS, after_each)
    life.settle(after_each)
    look(conn, life, Seen())
    at_the_end(conn, life)
    account(conn, life, began)
    told = sum(len(receiver.taken) for receiver in life.receivers.values())
    print(f"{HOURS:g} h, {steps} steps, {len(life.flips)} flips, {told} notices, "
          f"{life.restarts} restarts")  # fmt: skip
    assert len(life.flips) > HOURS / 2, "too little happened for this test to mean anything"
    assert told > HOURS / 2


class Seen:
    """How far the rows have been looked at; from the beginning at first."""

    transition = 0
    notice = 0


def look(conn: Conn, life: Life, seen: Seen) -> None:
    """Hold what is stored against the invariants: what is new since the last look, and all that
    is still open."""
    # I1: at most one open incident a monitor, and exactly when it is down.
    rows = conn.all(
        "SELECT w.settled, w.status, (SELECT count(*) FROM incidents i"
        " WHERE i.monitor_id = w.monitor_id AND i.resolved_at IS NULL) FROM watches w"
    )
    for settled, status, count in rows:
        down = settled == Status.DOWN and status != Status.PAUSED
        assert count == int(down)
    # I2: at most one notice of a transition that is not suppressed, for each channel and event.
    assert not conn.all(
        "SELECT 1 FROM alert_events e WHERE e.seq > ? AND e.status <> 'suppressed'"
        " AND EXISTS (SELECT 1 FROM alert_events o WHERE o.transition_id = e.transition_id"
        " AND o.channel_id = e.channel_id AND o.event = e.event AND o.id <> e.id"
        " AND o.status <> 'suppressed')",
        (seen.notice,),
    )
    assert not conn.all(
        "SELECT 1 FROM alert_events WHERE seq > ? AND status = 'suppressed' AND reason IS NULL",
        (seen.notice,),
    )
    # I3: whatever is not settled will be looked at within a day.
    late = conn.all(
        "SELECT id, event, held_for, next_attempt_at FROM alert_events"
        " WHERE status = 'pending' AND held_for IS NULL AND next_attempt_at > ?1 UNION ALL"
        " SELECT id, event, held_for, next_attempt_at FROM alert_events"
        " WHERE status = 'pending' AND held_for IS NOT NULL AND next_attempt_at > ?1",
        (life.now + LONGEST_WAIT,),
    )
    assert late == []
    # What every rule made of a change is kept.
    assert not conn.all(
        "SELECT 1 FROM transitions WHERE seq > ? AND considered IS NULL"
        " AND after NOT IN ('unknown', 'pending')",
        (seen.transition,),
    )
    # No timer outlives its incident.
    assert not conn.all(
        "SELECT 1 FROM alert_timers t JOIN incidents i ON i.id = t.incident_id"
        " WHERE i.resolved_at IS NOT NULL OR i.acknowledged_at IS NOT NULL"
    )
    # Flips of a monitor follow each other without a seam.
    last: dict[str, str] = {}
    for monitor_id, before, after in conn.all(
        "SELECT monitor_id, before, after FROM transitions WHERE seq > ? ORDER BY seq DESC",
        (seen.transition - 20,),
    ):
        assert last.get(monitor_id, after) == after
        last[monitor_id] = before
    (seen.transition, seen.notice) = conn.all(
        "SELECT (SELECT coalesce(max(seq), 0) FROM transitions),"
        " (SELECT coalesce(max(seq), 0) FROM alert_events)"
    )[0]


def at_the_end(conn: Conn, life: Life) -> None:
    """All is up, nothing waits, and everybody has heard what they had to, in order."""
    pending = conn.all("SELECT event, held_for FROM alert_events WHERE status = 'pending'")
    assert pending == []
    taken = {told.notice.id for receiver in life.receivers.values() for told in receiver.taken}
    sent = {row[0] for row in conn.all("SELECT id FROM alert_events WHERE status = 'sent'")}
    # At least once, and nothing that is not on disk as sent. (What arrived and was not written
    # down was sent again.)
    assert taken == sent
    seqs = {row[0]: row[1] for row in conn.all("SELECT id, seq FROM alert_events")}
    for (channel_id, monitor_id), came in received(life).items():
        if monitor_id is None:
            continue
        told = _states(came)
        # I4: told in the order in which it happened.
        assert [seqs[one.id] for one in told] == sorted(seqs[one.id] for one in told)
        if life.receivers[channel_id].channel.type in MACHINES:
            _no_lonely_up(conn, told)
        _ends_well(conn, channel_id, monitor_id, told)
    for row in conn.all("SELECT DISTINCT org_id FROM audit_logs"):
        assert audit_chains.verify(conn, row[0]) == []
    assert conn.all("PRAGMA integrity_check") == [("ok",)]


def _states(came: list[Told]) -> list[Notice]:
    """Return what was told of a monitor's state, each notice once."""
    once = {told.notice.id: told.notice for told in came}
    return [one for one in once.values() if one.event in {*PROBLEMS, Event.MONITOR_UP}]


def _no_lonely_up(conn: Conn, told: list[Notice]) -> None:
    """Never "up" before its problem. (What a fallback channel is told in place of another may be a
    pair that was collapsed there: one message tells of the whole outage.)"""
    wrong: set[Event] = set()
    for notice in told:
        if notice.event in PROBLEMS:
            wrong.add(notice.event)
            continue
        if notice.cause is not Cause.FALLBACK:
            assert wrong, "an up that nobody heard the problem of"
        # The end of an outage may leave it degraded, of which another up tells the end.
        left = conn.one(
            "SELECT 1 FROM transitions t JOIN alert_events e ON e.transition_id = t.id"
            " WHERE e.id = ? AND t.after = 'degraded'",
            (notice.id,),
        )
        wrong = set() if left is None else wrong - {Event.MONITOR_DOWN}


def _ends_well(conn: Conn, channel_id: Id, monitor_id: Id, told: list[Notice]) -> None:
    """Whoever was told of a problem last is not left with it: the recovery could not be
    delivered, or was none (the monitor was paused)."""
    if not told or told[-1].event not in PROBLEMS:
        return
    row = conn.one(
        "SELECT status FROM alert_events WHERE channel_id = ? AND monitor_id = ?"
        " AND event = 'monitor.up' ORDER BY seq DESC LIMIT 1",
        (channel_id, monitor_id),
    )
    paused = conn.one(
        "SELECT 1 FROM transitions WHERE monitor_id = ? AND after = 'paused' AND seq >"
        " (SELECT t.seq FROM transitions t JOIN alert_events e ON e.transition_id = t.id"
        " OR e.incident_id = t.incident_id WHERE e.id = ? ORDER BY t.seq LIMIT 1)",
        (monitor_id, told[-1].id),
    )
    assert paused is not None or (row is not None and row[0] == NoticeStatus.FAILED)


def account(conn: Conn, life: Life, began: Millis) -> None:
    """I7: every second of every monitor is somewhere."""
    end = max(life.now, began + DAY)
    for monitor_id in life.targets:
        known = spans.between(conn, monitor_id, began, end)
        found = uptime.account(began, end, known, [], end)
        assert (
            found.up_seconds
            + found.degraded_seconds
            + found.down_seconds
            + found.maintenance_seconds
            + found.unknown_seconds
            == found.period_seconds
        )
