"""What would be told if the disk took what it does not take.

Everything in here runs in a transaction that is taken back (`Database.rehearse`): it writes what
waits for the disk, as it will be written, and claims what would be due then. What is told of that
has the ids that it keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from msgspec import Struct

from netpulse.model.edge import Edge
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.rules import outbox
from netpulse.storage import claims, edges, held
from netpulse.storage.claims import Claimed, Unseen
from netpulse.storage.conn import Conn
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

Write = Callable[[Conn], object]

MOST_LOOKS = 40
"""At what is held back: what comes of one is taken back, so that the next begins with the same."""


class Imagined(Struct, frozen=True):
    """A message that may be sent now, and until when its channel gathers after that."""

    claim: Claimed
    gathering_until: Millis | None


def claim(
    conn: Conn,
    owed: Iterable[Sequence[Edge]],
    writes: Iterable[Write],
    worker: str,
    now: Millis,
    *,
    limit: int,
    lease_ms: int,
    busy: Collection[tuple[Id, Id | None]],
    unseen: Unseen,
) -> list[Imagined]:
    """Claim what could be sent at `now`, were all of this written.

    Args:
        conn: a connection whose transaction is taken back.
        owed: the edges that wait for the disk, of each monitor in their order.
        writes: what else waits for it, in its order: what attempts came to.
        worker: as in `claims.claim`, with all that follows.
        now: the moment.
        limit: the most to be claimed.
        lease_ms: of no consequence.
        busy: lanes for which an attempt is under way.
        unseen: what is known of monitors whose edges are not among those owed.
    """
    for of_monitor in owed:
        _apart(conn, partial(_record, owed=of_monitor))
    for write in writes:
        _apart(conn, write)
    for _ in range(MOST_LOOKS):
        if not held.resolve(conn, now):
            break
    found = claims.claim(
        conn, worker, now, limit=limit, lease_ms=lease_ms, busy=busy, anew=False, unseen=unseen
    )
    return [Imagined(one, _gathering_until(conn, one.channel.id)) for one in found]


def begun(conn: Conn, message: Imagined, clock: Callable[[], Millis]) -> None:
    """Write that a message is on its way: the next one of its channel depends on that."""
    channel, now = message.claim.channel, clock()
    if outbox.is_read_by_people(channel.type):
        # As when it was claimed: else a problem that its recovery told of would be told after it.
        claims.collapse(conn, channel.id, now)
    for notice in message.claim.notices:
        conn.execute(
            "UPDATE alert_events SET first_attempt_at = coalesce(first_attempt_at, ?),"
            " digest_id = coalesce(digest_id, ?) WHERE id = ?",
            (notice.first_attempt_at, notice.digest_id, notice.id),
        )
    until, longest = message.gathering_until, now + outbox.LONGEST_WINDOW
    if until is not None and until <= longest:
        # The later of both; what is further ahead is from before the clock was set back.
        conn.execute(
            "UPDATE alert_channels SET gathering_until = ?2 WHERE id = ?1"
            " AND (gathering_until BETWEEN ?2 AND ?3) IS NOT TRUE",
            (channel.id, until, longest),
        )


def _record(conn: Conn, owed: Sequence[Edge]) -> None:
    """Write edges, unless they have been written since they were asked for."""
    for edge in owed:
        flip = edge.flip
        if flip is not None and conn.one(
            "SELECT 1 FROM transitions WHERE monitor_id = ? AND after = ? AND decided_at = ?",
            (edge.monitor.id, flip.after.value, flip.decided_at),
        ):
            return
    edges.record_all(conn, owed)


def _gathering_until(conn: Conn, channel_id: Id) -> Millis | None:
    row = conn.one("SELECT gathering_until FROM alert_channels WHERE id = ?", (channel_id,))
    return None if row is None else row[0]


def _apart(conn: Conn, write: Write) -> None:
    """Let one thing that cannot be written cost itself only."""
    conn.execute("SAVEPOINT imagined")
    try:
        write(conn)
    except StorageTrouble:
        raise
    except Exception:
        log.exception("what waits for the disk cannot be written as it is")
        conn.execute("ROLLBACK TO imagined")
    conn.execute("RELEASE imagined")
