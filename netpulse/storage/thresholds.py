"""Conditions on measures that are so: what is kept of them, and the notices that go with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.alert import Cause, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor
from netpulse.model.time import Millis
from netpulse.rules.thresholds import Key, Standing, Turn
from netpulse.storage import alert_rules, settling, telling
from netpulse.storage.conn import Conn, Row
from netpulse.storage.held import still_so

_COLUMNS = "rule_id, monitor_id, term, since, speaks_at, fingerprint, notice_id, told_id"


class Loaded(Struct, frozen=True):
    """What there is to watch for."""

    rules: list[Rule]
    """The active rules whose conditions have terms."""
    standing: list[Standing]


class Recorded(Struct, frozen=True):
    """What came of turns that were to be written."""

    standing: dict[Key, Standing | None]
    """What is kept now, None where it ended. A turn whose rule has changed is missing."""
    notice_ids: tuple[Id, ...] = ()
    """Notices that wait to be sent."""


def load(conn: Conn, org_id: Id | None = None) -> Loaded:
    """Return the rules with terms and what is so of them, of one organization or of all."""
    standing = conn.all(
        f"SELECT {_COLUMNS} FROM threshold_states WHERE ?1 IS NULL OR rule_id IN"
        " (SELECT id FROM alert_rules WHERE org_id = ?1)",
        (org_id,),
    )
    return Loaded(alert_rules.with_terms(conn, org_id), [_standing(row) for row in standing])


def of_monitor(conn: Conn, monitor_id: Id) -> list[Standing]:
    """Return what is so for a monitor."""
    rows = conn.all(f"SELECT {_COLUMNS} FROM threshold_states WHERE monitor_id = ?", (monitor_id,))
    return [_standing(row) for row in rows]


def record(conn: Conn, monitor: Monitor, turns: Sequence[Turn], now: Millis) -> Recorded:
    """Write what became of terms at one check of a monitor, with the notices that tell of it.

    Nothing is written of a monitor that is deleted, paused or changed since the engine read it,
    nor of a rule that is.
    """
    row = conn.one(
        "SELECT version, is_paused, deleted_at FROM monitors WHERE id = ?", (monitor.id,)
    )
    if row is None or row[0] != monitor.version or row[1] or row[2] is not None:
        return Recorded({})
    valid = [turn for turn in turns if _is_fresh(conn, turn.rule)]
    kept: dict[Key, Standing | None] = {}
    waiting: list[Id] = []
    ended = [turn for turn in valid if turn.ended]
    for group in _alike(ended):
        waiting += _end(conn, monitor, group, now)
        kept |= {turn.standing.key: None for turn in group}
    for group in _alike(turn for turn in valid if not turn.ended):
        stored, ids = _begin(conn, monitor, group, now)
        waiting += ids
        kept |= {one.key: one for one in stored}
    return Recorded(kept, tuple(waiting))


def clear(conn: Conn, keys: Iterable[Key]) -> None:
    """Forget terms that nobody watches for any more; nobody is told that they ended."""
    for key in keys:
        row = conn.one(
            f"SELECT {_COLUMNS} FROM threshold_states"
            " WHERE rule_id = ? AND monitor_id = ? AND term = ?",
            key,
        )
        if row is not None:
            _forget(conn, _standing(row))


def pause(conn: Conn, monitor_id: Id) -> None:
    """Forget what is so for a monitor; nobody is told that it ended."""
    for standing in of_monitor(conn, monitor_id):
        _forget(conn, standing)


def retire(conn: Conn, monitor_id: Id) -> None:
    """Forget all about a monitor that is deleted, its certificates too."""
    pause(conn, monitor_id)
    conn.execute("DELETE FROM certificate_notices WHERE monitor_id = ?", (monitor_id,))


def _is_fresh(conn: Conn, rule: Rule) -> bool:
    """Tell whether a rule is what the engine takes it for."""
    stored = alert_rules.get(conn, rule.org_id, rule.id)
    return stored is not None and stored.is_active and stored.version == rule.version


def _alike(turns: Iterable[Turn]) -> list[list[Turn]]:
    """Group the turns that say the same: one message a channel tells of them."""
    groups: dict[tuple[str, str], list[Turn]] = {}
    for turn in turns:
        groups.setdefault((turn.event.value, turn.reason), []).append(turn)
    return list(groups.values())


def _begin(
    conn: Conn, monitor: Monitor, turns: Sequence[Turn], now: Millis
) -> tuple[list[Standing], tuple[Id, ...]]:
    """Keep terms that are so, and tell those that have something new to say."""
    news = [turn for turn in turns if _is_news(conn, turn)]
    before = _last_seq(conn)
    waiting: tuple[Id, ...] = ()
    if news:
        waiting = telling.write_for_rules(
            conn,
            monitor,
            news[0].event,
            [turn.rule for turn in news],
            now=now,
            reason=news[0].reason,
            cause=Cause.CHANGE,
        )
    stored = []
    for turn in turns:
        standing = turn.standing
        if turn in news:
            told_id = standing.told_id
            if _was_told(conn, standing.notice_id):
                told_id = standing.notice_id
            notice_id = _written(conn, monitor.id, turn, before)
            standing = replace(standing, notice_id=notice_id, told_id=told_id)
            _note_certificate(conn, turn, now)
        _keep(conn, standing)
        stored.append(standing)
    return stored, waiting


def _end(conn: Conn, monitor: Monitor, turns: Sequence[Turn], now: Millis) -> tuple[Id, ...]:
    """Forget terms that ended, and tell so whoever was told that they had begun."""
    rules: list[Rule] = []
    for turn in turns:
        heard = _heard(conn, turn)
        _forget(conn, turn.standing)
        if turn.rule.notify_recovery:
            rules += heard
    if not rules:
        return ()
    return telling.write_for_rules(
        conn,
        monitor,
        turns[0].event,
        rules,
        now=now,
        reason=turns[0].reason,
        cause=Cause.RECOVERY,
    )


def _heard(conn: Conn, turn: Turn) -> list[Rule]:
    """Return the rule of a turn for each channel that was told of it: its own, and the one that
    was told in its place."""
    found: list[Rule] = []
    for notice_id in (turn.standing.notice_id, turn.standing.told_id):
        if _was_told(conn, notice_id):
            found.append(turn.rule)
        for (channel_id,) in conn.all(
            "SELECT channel_id FROM alert_events WHERE monitor_id = ? AND fallback_of = ?"
            " AND held_for IS NULL AND status IN ('sent', 'pending')",
            (turn.standing.monitor_id, notice_id),
        ):
            found.append(replace(turn.rule, channel_id=channel_id))
    return list({rule.channel_id: rule for rule in found}.values())


def _is_news(conn: Conn, turn: Turn) -> bool:
    """Tell whether a turn has something to say: now, and of a certificate not yet."""
    if turn.standing.speaks_at is not None:
        return False
    if not turn.thresholds:
        return True
    found = conn.one(
        "SELECT 1 FROM certificate_notices WHERE rule_id = ? AND monitor_id = ?"
        " AND fingerprint = ? AND days = ?",
        (
            turn.rule.id,
            turn.standing.monitor_id,
            turn.standing.fingerprint,
            turn.thresholds[-1],
        ),
    )
    return found is None


def _note_certificate(conn: Conn, turn: Turn, now: Millis) -> None:
    conn.many(
        "INSERT OR IGNORE INTO certificate_notices (rule_id, monitor_id, fingerprint, days, at)"
        " VALUES (?, ?, ?, ?, ?)",
        [
            (turn.rule.id, turn.standing.monitor_id, turn.standing.fingerprint, days, now)
            for days in turn.thresholds
        ],
    )


def _last_seq(conn: Conn) -> int:
    row = conn.one("SELECT max(seq) FROM alert_events")
    return 0 if row is None or row[0] is None else int(row[0])


def _written(conn: Conn, monitor_id: Id, turn: Turn, after_seq: int) -> Id | None:
    """Return the notice that the rule's channel gets: another rule's, where its own would only
    repeat that."""
    row = conn.one(
        "SELECT id FROM alert_events WHERE monitor_id = ? AND channel_id = ? AND event = ?"
        " AND seq > ? ORDER BY status = 'suppressed', seq LIMIT 1",
        (monitor_id, turn.rule.channel_id, turn.event.value, after_seq),
    )
    return None if row is None else str(row[0])


def _was_told(conn: Conn, notice_id: Id | None) -> bool:
    """Tell whether a notice was sent, or is on its way and not held back."""
    row = conn.one("SELECT status, held_for FROM alert_events WHERE id = ?", (notice_id,))
    if row is None:
        return False
    return row[0] == NoticeStatus.SENT or (row[0] == NoticeStatus.PENDING and row[1] is None)


def _keep(conn: Conn, one: Standing) -> None:
    conn.execute(
        f"INSERT OR REPLACE INTO threshold_states ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *one.key,
            one.since,
            one.speaks_at,
            one.fingerprint,
            one.notice_id,
            one.told_id,
        ),
    )


def _forget(conn: Conn, one: Standing) -> None:
    """Take a term away; what was held back of it will not be told."""
    conn.execute(
        "DELETE FROM threshold_states WHERE rule_id = ? AND monitor_id = ? AND term = ?", one.key
    )
    row = conn.one(
        "SELECT held_for FROM alert_events WHERE id = ? AND status = 'pending'", (one.notice_id,)
    )
    if row is None or row[0] is None or one.notice_id is None:
        return
    if not still_so(conn, one.notice_id):
        settling.suppress(conn, one.notice_id, Suppressed(row[0]))


def _standing(row: Row) -> Standing:
    return Standing(
        rule_id=row[0],
        monitor_id=row[1],
        term=row[2],
        since=row[3],
        speaks_at=row[4],
        fingerprint=row[5],
        notice_id=row[6],
        told_id=row[7],
    )
