"""Subscribers of status pages. Whose page it is, and whether it takes any, the caller has told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from netpulse.crypto.vault import SealBroken
from netpulse.model.ids import Id, new_id
from netpulse.model.subscriber import CONFIRM_WITHIN, Subscriber, SubscriberKind
from netpulse.model.time import HOUR, Millis
from netpulse.storage import letters
from netpulse.storage.conn import Conn, Row
from netpulse.storage.sealed import SUBSCRIBER_ADDRESS
from netpulse.storage.table import Page

_COLUMNS = (
    "s.id, s.page_id, s.kind, s.address, s.created_at, s.asked_at, s.confirmed_at, s.news_from,"
    " s.news_to, s.attempt_count, s.next_attempt_at, s.gives_up_at, s.failing_since, s.error"
)
LONGEST_WAIT = HOUR
"""No attempt is planned further ahead: what seems to be was planned before the clock was set
back."""
ENDED = "the subscription has ended"


def get(conn: Conn, subscriber_id: Id) -> Subscriber | None:
    """Return a subscriber of whatever page, or None."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM status_page_subscribers s WHERE s.id = ?", (subscriber_id,)
    )
    return None if row is None else _read(conn, row)


def find(conn: Conn, page_id: Id, kind: SubscriberKind, address: str) -> Subscriber | None:
    """Return the page's subscriber with this address, asked or confirmed, or None."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM status_page_subscribers s"
        " WHERE s.page_id = ? AND s.address_digest = ?",
        (page_id, _digest(conn, kind, address)),
    )
    return None if row is None else _read(conn, row)


def ask(conn: Conn, page_id: Id, kind: SubscriberKind, address: str, now: Millis) -> Subscriber:
    """Note that an address was asked whether it wants the news of a page; it is told nothing before
    it says so. What was asked before and not confirmed is asked anew."""
    old = find(conn, page_id, kind, address)
    if old is not None:
        conn.execute(
            "UPDATE status_page_subscribers SET asked_at = ?, error = NULL WHERE id = ?",
            (now, old.id),
        )
        return msgspec.structs.replace(old, asked_at=now, error=None)
    subscriber_id = new_id(now)
    conn.execute(
        "INSERT INTO status_page_subscribers"
        " (id, page_id, kind, address, address_digest, created_at, asked_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            subscriber_id,
            page_id,
            kind.value,
            conn.vault.seal(address.encode(), SUBSCRIBER_ADDRESS.context(subscriber_id)),
            _digest(conn, kind, address),
            now,
            now,
        ),
    )
    return Subscriber(
        id=subscriber_id, page_id=page_id, kind=kind, address=address, created_at=now, asked_at=now
    )


def confirm(conn: Conn, subscriber: Subscriber, latest: int, now: Millis) -> None:
    """Note that the owner of an address wants the news behind the issue `latest`."""
    conn.execute(
        "UPDATE status_page_subscribers SET confirmed_at = ?, news_from = ?2, news_to = ?2,"
        " next_attempt_at = NULL, attempt_count = 0, gives_up_at = NULL, failing_since = NULL,"
        " error = NULL WHERE id = ?3",
        (now, latest, subscriber.id),
    )


def end(conn: Conn, subscriber_id: Id) -> None:
    """Remove a subscriber; what is on its way to it stays here."""
    letters.recall_from(conn, [subscriber_id], ENDED)
    conn.execute("DELETE FROM status_page_subscribers WHERE id = ?", (subscriber_id,))


def end_all(conn: Conn, page_id: Id) -> None:
    """Remove the subscribers of a page, and whoever was asked."""
    _end_those(conn, page_id, confirmed_too=True)


def end_asked(conn: Conn, page_id: Id) -> None:
    """Forget whoever was asked and has not answered; the question is of no use any more."""
    _end_those(conn, page_id, confirmed_too=False)


def _end_those(conn: Conn, page_id: Id, *, confirmed_too: bool) -> None:
    rows = conn.all(
        "DELETE FROM status_page_subscribers"
        " WHERE page_id = ? AND (? OR confirmed_at IS NULL) RETURNING id",
        (page_id, int(confirmed_too)),
    )
    letters.recall_from(conn, [row[0] for row in rows], ENDED)


def count(conn: Conn, page_id: Id) -> tuple[int, int]:
    """Return how many subscribers a page has, and how many were asked and have not answered."""
    row = conn.one(
        "SELECT count(confirmed_at), count(*) FROM status_page_subscribers WHERE page_id = ?",
        (page_id,),
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]) - int(row[0]))


def page(conn: Conn, page_id: Id, *, offset: int, limit: int) -> Page[Subscriber]:
    """Return the confirmed subscribers of a page, the latest first."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM status_page_subscribers s"
        " WHERE s.page_id = ? AND s.confirmed_at IS NOT NULL ORDER BY s.id DESC LIMIT ? OFFSET ?",
        (page_id, limit, offset),
    )
    return Page([_read(conn, row) for row in rows], count(conn, page_id)[0])


def following(conn: Conn, page_id: Id, after: Id, limit: int) -> list[Subscriber]:
    """Return the confirmed subscribers of a page after an id ("": from the beginning), the
    earliest first."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM status_page_subscribers s"
        " WHERE s.page_id = ? AND s.confirmed_at IS NOT NULL AND s.id > ? ORDER BY s.id LIMIT ?",
        (page_id, after, limit),
    )
    return [_read(conn, row) for row in rows]


def make_room(conn: Conn, page_id: Id, most: int) -> None:
    """Forget who was asked longest ago and has not answered, where a page has so many of those."""
    if count(conn, page_id)[1] >= most:
        conn.execute(
            "DELETE FROM status_page_subscribers WHERE id = (SELECT id FROM status_page_subscribers"
            " WHERE page_id = ? AND confirmed_at IS NULL ORDER BY asked_at, id LIMIT 1)",
            (page_id,),
        )


def forget_unconfirmed(conn: Conn, now: Millis) -> None:
    """Remove whoever was asked and has not answered in time."""
    conn.execute(
        "DELETE FROM status_page_subscribers WHERE confirmed_at IS NULL AND asked_at < ?",
        (now - CONFIRM_WITHIN,),
    )


# On their way


def behind(conn: Conn, kind: SubscriberKind, limit: int) -> list[tuple[Subscriber, int]]:
    """Return subscribers to whom not every issue was written, with the latest of their page."""
    rows = conn.all(
        f"SELECT {_COLUMNS}, n.issue FROM status_page_news n JOIN status_page_subscribers s"
        " ON s.page_id = n.page_id AND s.confirmed_at IS NOT NULL AND s.kind = ?"
        " AND s.news_to < n.issue ORDER BY s.page_id, s.id LIMIT ?",
        (kind.value, limit),
    )
    return [(_read(conn, row[:-1]), row[-1]) for row in rows]


def write_to(conn: Conn, subscriber: Subscriber, first: int, latest: int) -> None:
    """Note that the issues from `first` to `latest` are on their way to a subscriber."""
    conn.execute(
        "UPDATE status_page_subscribers SET news_from = ?, news_to = ? WHERE id = ?",
        (first, latest, subscriber.id),
    )


def try_from(conn: Conn, subscriber: Subscriber, at: Millis, gives_up_at: Millis) -> None:
    """Have a webhook tried from `at` on, until `gives_up_at`."""
    conn.execute(
        "UPDATE status_page_subscribers SET next_attempt_at = ?, gives_up_at = ? WHERE id = ?",
        (at, gives_up_at, subscriber.id),
    )


def due(conn: Conn, now: Millis, limit: int, busy: Sequence[Id]) -> list[Subscriber]:
    """Return webhooks to be tried now, the longest due first, without those in `busy`.

    Those who wait for news come before those who are only asked: whoever asks for many that answer
    slowly, keeps nobody's news.
    """
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM status_page_subscribers s"
        " WHERE (s.next_attempt_at <= ?1 OR s.next_attempt_at > ?2)"
        " AND s.id NOT IN (SELECT value FROM json_each(?3))"
        " ORDER BY s.confirmed_at IS NULL, s.next_attempt_at, s.id LIMIT ?4",
        (now, now + LONGEST_WAIT, _listed(busy), limit),
    )
    return [_read(conn, row) for row in rows]


def next_due(conn: Conn, busy: Sequence[Id]) -> Millis | None:
    """Return when the next webhook that is not in `busy` is to be tried, or None."""
    row = conn.one(
        "SELECT min(next_attempt_at) FROM status_page_subscribers"
        " WHERE next_attempt_at IS NOT NULL AND id NOT IN (SELECT value FROM json_each(?))",
        (_listed(busy),),
    )
    return None if row is None else row[0]


def taken(conn: Conn, subscriber: Subscriber) -> None:
    """Note that a webhook took what was sent; what came up meanwhile is still on its way.

    One that said yes while it was asked has begun anew: what was sent before is of no account.
    """
    conn.execute(
        "UPDATE status_page_subscribers SET attempt_count = 0, failing_since = NULL, error = NULL,"
        " next_attempt_at = CASE WHEN news_to = ?2 THEN NULL ELSE next_attempt_at END,"
        " news_from = CASE WHEN news_to = ?2 THEN news_from ELSE ?2 + 1 END"
        " WHERE id = ?1 AND confirmed_at IS ?3",
        (subscriber.id, subscriber.news_to, subscriber.confirmed_at),
    )


def failed(
    conn: Conn, subscriber: Subscriber, error: str, again_at: Millis | None, now: Millis
) -> None:
    """Note a failed attempt at a webhook; `again_at` None gives up what is on its way.

    Of one that said yes while it was asked it counts nothing, as in `taken`.
    """
    conn.execute(
        "UPDATE status_page_subscribers SET attempt_count = CASE WHEN ?3 IS NULL THEN 0"
        " ELSE attempt_count + 1 END, next_attempt_at = ?3, error = ?2,"
        " failing_since = coalesce(failing_since, ?4) WHERE id = ?1 AND confirmed_at IS ?5",
        (subscriber.id, error, again_at, now, subscriber.confirmed_at),
    )


def reached(conn: Conn, subscriber_id: Id) -> None:
    """Note that a subscriber's mail server took a letter."""
    conn.execute(
        "UPDATE status_page_subscribers SET failing_since = NULL, error = NULL"
        " WHERE id = ? AND failing_since IS NOT NULL",
        (subscriber_id,),
    )


def refused(conn: Conn, subscriber_id: Id, error: str, now: Millis) -> Subscriber | None:
    """Note that a subscriber's mail server refuses letters to it for good; return it as it is now,
    or None if it has gone."""
    conn.execute(
        "UPDATE status_page_subscribers SET failing_since = coalesce(failing_since, ?), error = ?"
        " WHERE id = ?",
        (now, error, subscriber_id),
    )
    return get(conn, subscriber_id)


def _digest(conn: Conn, kind: SubscriberKind, address: str) -> str:
    return conn.vault.digest(f"subscriber {kind.value} {address}")


def _listed(ids: Sequence[Id]) -> str:
    return msgspec.json.encode(list(ids)).decode()


def _read(conn: Conn, row: Row) -> Subscriber:
    address, damage = "", None
    try:
        address = conn.vault.open(row[3], SUBSCRIBER_ADDRESS.context(row[0])).decode()
    except SealBroken as error:
        damage = str(error)
    return Subscriber(
        id=row[0],
        page_id=row[1],
        kind=SubscriberKind(row[2]),
        address=address,
        created_at=row[4],
        asked_at=row[5],
        confirmed_at=row[6],
        news_from=row[7],
        news_to=row[8],
        attempt_count=row[9],
        next_attempt_at=row[10],
        gives_up_at=row[11],
        failing_since=row[12],
        error=row[13],
        damage=damage,
    )
