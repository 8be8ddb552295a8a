"""News of status pages: what is new on a page, the issues that tell it, and to whom they went.

A page is compared with what was told of it, not with what has happened: so an incident that was
posted on it late, or outlasts a maintenance, is news when the page begins to tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id, public_id
from netpulse.model.letter import LetterKind
from netpulse.model.page_news import NewsItem
from netpulse.model.status_page import StatusPage
from netpulse.model.subscriber import Subscriber, SubscriberKind
from netpulse.model.time import DAY, Millis
from netpulse.model.user import Actor
from netpulse.rules import boards as board_rules
from netpulse.rules import page_news as rules
from netpulse.rules.letters import Draft
from netpulse.storage import (
    audit,
    boards,
    incident_list,
    incident_story,
    letters,
    orgs,
    status_pages,
    subscribers,
)
from netpulse.storage.conn import Conn

USEFUL_FOR = DAY
"""How long news that are not taken are tried again."""
TOLD_KEPT = 730 * DAY
ISSUES_KEPT = 7 * DAY
MERGED = "what it told is in a later letter"

_items = msgspec.json.Decoder(tuple[NewsItem, ...])


class About(Struct, frozen=True):
    """The page that news are of."""

    page: StatusPage
    zone: str
    """The organization's (IANA)."""


Write = Callable[[About, Sequence[NewsItem], Subscriber], Draft | None]
"""Writes the letter to a subscriber; None: none can be written."""


class _Mark(Struct, frozen=True):
    """What is told of once an issue is out."""

    thing: Id
    seq: int = 0
    incident_id: Id | None = None


class Found(Struct, frozen=True, kw_only=True):
    """What is new on a page."""

    page_id: Id
    items: tuple[NewsItem, ...]
    marks: tuple[_Mark, ...]
    seq: int
    """The last line of all stories that was looked at."""
    seen_seq: int
    """Up to which line it was looked through before."""
    told_at: Millis | None
    row_length: int


# What is new


def pages(conn: Conn, org_ids: Sequence[Id] | None = None) -> list[Id]:
    """Return the pages with subscribers, of some organizations or of all."""
    rows = conn.all(
        "SELECT n.page_id FROM status_page_news n JOIN status_pages p ON p.id = n.page_id"
        " JOIN organizations o ON o.id = p.org_id AND o.deleted_at IS NULL"
        " WHERE ?1 IS NULL OR p.org_id IN (SELECT value FROM json_each(?1))",
        (None if org_ids is None else msgspec.json.encode(list(org_ids)).decode(),),
    )
    return [row[0] for row in rows]


def look(conn: Conn, page_ids: Sequence[Id], now: Millis) -> list[Found]:
    """Return what is new on each of these pages that has subscribers."""
    return [found for each in page_ids if (found := _look(conn, each, now)) is not None]


def _look(conn: Conn, page_id: Id, now: Millis) -> Found | None:
    state = conn.one(
        "SELECT seen_seq, told_at, row_length FROM status_page_news WHERE page_id = ?", (page_id,)
    )
    page = status_pages.of_id(conn, page_id)
    if state is None or page is None:
        return None
    told: dict[Id, int] = {
        row[0]: row[1]
        for row in conn.all("SELECT thing, seq FROM status_page_told WHERE page_id = ?", (page_id,))
    }
    seen_seq: int = state[0]
    items: list[NewsItem] = []
    marks: list[_Mark] = []
    names = {public_id(page_id, one): name for one, name in page.public_names.items()}
    last = incident_story.last_seq(conn)
    for incident in incident_list.with_news(conn, page_id, seen_seq):
        if boards.is_excused(conn, incident, now):
            continue
        thing = public_id(page_id, incident.id)
        story = incident_story.timeline(conn, incident.id)
        after = told.get(thing)
        if after is None:
            # One that ended before it came to this page is history, and no news.
            began_now = incident.resolved_at is None or story[0].seq > seen_seq
            after = 0 if began_now else seen_seq
        fresh = [entry for entry in story if entry.seq > after]
        shown = board_rules.incident_of(page_id, incident, fresh, page.public_names)
        item = rules.of_incident(shown, fresh, names)
        if item is not None:
            items.append(item)
            marks.append(_Mark(thing, max(entry.seq for entry in story), incident.id))
    for plan in boards.planned(conn, page, now):
        if plan.plan not in told:
            items.append(rules.of_maintenance(plan, names))
            marks.append(_Mark(plan.plan))
    for announced in reversed(boards.announced(conn, page, now)):
        if announced.id not in told:
            items.append(rules.of_announcement(announced))
            marks.append(_Mark(announced.id))
    return Found(
        page_id=page_id,
        items=tuple(items),
        marks=tuple(marks),
        seq=last,
        seen_seq=seen_seq,
        told_at=state[1],
        row_length=state[2],
    )


def seen(conn: Conn, found: Sequence[Found]) -> None:
    """Note up to where pages without news were looked through."""
    conn.many(
        "UPDATE status_page_news SET seen_seq = max(seen_seq, ?) WHERE page_id = ?",
        [(one.seq, one.page_id) for one in found],
    )


def begin(conn: Conn, page_id: Id, now: Millis) -> None:
    """Take all that a page tells now as told: it has its first subscriber."""
    conn.execute("DELETE FROM status_page_told WHERE page_id = ?", (page_id,))
    conn.execute(
        "INSERT INTO status_page_news (page_id, seen_seq, issue) VALUES (?1, ?2,"
        " coalesce((SELECT max(seq) FROM status_page_issues WHERE page_id = ?1), 0))"
        " ON CONFLICT (page_id) DO UPDATE SET seen_seq = excluded.seen_seq",
        (page_id, incident_story.last_seq(conn)),
    )
    for found in look(conn, [page_id], now):
        _mark(conn, found, now)


def begin_again(conn: Conn, now: Millis) -> None:
    """Take all that any page tells now as told, and nothing as on its way."""
    conn.execute(
        "UPDATE status_page_subscribers SET next_attempt_at = NULL, attempt_count = 0,"
        " news_to = coalesce((SELECT n.issue FROM status_page_news n"
        " WHERE n.page_id = status_page_subscribers.page_id), news_to)"
    )
    for row in conn.all("SELECT page_id FROM status_page_news"):
        begin(conn, row[0], now)


def rest(conn: Conn, page_id: Id) -> None:
    """Look for no more news of a page that has lost its last subscriber."""
    if subscribers.count(conn, page_id)[0] == 0:
        conn.execute("DELETE FROM status_page_told WHERE page_id = ?", (page_id,))
        conn.execute("DELETE FROM status_page_news WHERE page_id = ?", (page_id,))


def lose(conn: Conn, one: Subscriber, why: str, actor: Actor, now: Millis) -> None:
    """End the subscription of one that cannot be told any more; the audit log says why."""
    about = about_page(conn, one.page_id)
    subscribers.end(conn, one.id)
    rest(conn, one.page_id)
    if about is not None and one.confirmed_at is not None:
        audit.append(
            conn,
            about.page.org_id,
            actor,
            "status_page.unsubscribed",
            "status_page",
            one.page_id,
            {"subscriber_id": one.id, "kind": one.kind.value},
            {"error": why},
            now,
        )


def _mark(conn: Conn, found: Found, now: Millis) -> None:
    conn.many(
        "INSERT INTO status_page_told (page_id, thing, incident_id, seq, at)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (page_id, thing)"
        " DO UPDATE SET seq = excluded.seq, at = excluded.at",
        [(found.page_id, mark.thing, mark.incident_id, mark.seq, now) for mark in found.marks],
    )


# Issues


def issue(conn: Conn, page_id: Id, now: Millis) -> bool:
    """Make what is new on a page an issue, which is still to be written to its subscribers; False
    if nothing is new."""
    found = _look(conn, page_id, now)
    if found is None or not found.items:
        return False
    conn.execute(
        "INSERT INTO status_page_issues (page_id, items, created_at) VALUES (?, ?, ?)",
        (page_id, msgspec.json.encode(found.items).decode(), now),
    )
    conn.execute(
        "UPDATE status_page_news SET seen_seq = ?, told_at = ?, row_length = ?, issue = ?"
        " WHERE page_id = ?",
        (
            found.seq,
            now,
            rules.row_after(found.told_at, found.row_length, now),
            conn.last_rowid,
            page_id,
        ),
    )
    _mark(conn, found, now)
    return True


def latest(conn: Conn, page_id: Id) -> int:
    """Return the latest issue of a page with subscribers; 0 without any."""
    row = conn.one("SELECT issue FROM status_page_news WHERE page_id = ?", (page_id,))
    return 0 if row is None else int(row[0])


def items_of(conn: Conn, page_id: Id, first: int, last: int) -> tuple[NewsItem, ...]:
    """Return what the issues of a page from `first` to `last` tell, of each thing once."""
    rows = conn.all(
        "SELECT items FROM status_page_issues WHERE page_id = ? AND seq BETWEEN ? AND ?"
        " ORDER BY seq",
        (page_id, first, last),
    )
    return rules.merged([item for row in rows for item in _items.decode(row[0])])


# To whom they go


def write_letters(conn: Conn, write: Write, now: Millis, limit: int) -> int:
    """Write to up to `limit` subscribers what was not written to them yet; returns to how many.

    What still waits for one of them from an earlier letter is told in the later one, instead.
    """
    chosen = subscribers.behind(conn, SubscriberKind.EMAIL, limit)
    waiting = letters.recall_from(conn, [one.id for one, _ in chosen], MERGED)
    about: dict[Id, About | None] = {}
    known: dict[tuple[Id, int, int], tuple[NewsItem, ...]] = {}
    for one, last in chosen:
        first = one.news_from if one.id in waiting else one.news_to + 1
        subscribers.write_to(conn, one, first, last)
        key = (one.page_id, first, last)
        if key not in known:
            about[one.page_id] = about_page(conn, one.page_id)
            known[key] = items_of(conn, *key)
        page = about[one.page_id]
        draft = None
        if page is not None and one.damage is None and known[key]:
            draft = write(page, known[key], one)
        if page is not None and draft is not None:
            letters.post(
                conn,
                LetterKind.STATUS_NEWS,
                one.address,
                draft.subject,
                draft.text,
                now,
                expires_at=now + USEFUL_FOR,
                org_id=page.page.org_id,
                subscriber_id=one.id,
            )
    return len(chosen)


def wake_webhooks(conn: Conn, now: Millis, limit: int) -> int:
    """Have up to `limit` webhooks sent what was not sent to them yet; returns how many."""
    chosen = subscribers.behind(conn, SubscriberKind.WEBHOOK, limit)
    for one, last in chosen:
        waits = one.next_attempt_at is not None
        subscribers.write_to(conn, one, one.news_from if waits else one.news_to + 1, last)
        subscribers.try_from(conn, one, one.next_attempt_at or now, now + USEFUL_FOR)
    return len(chosen)


def about_page(conn: Conn, page_id: Id) -> About | None:
    """Return a page of a living organization with what its news need, or None."""
    page = status_pages.of_id(conn, page_id)
    if page is None:
        return None
    org = orgs.get(conn, page.org_id)
    return None if org is None else About(page, org.timezone)


def forget_before(conn: Conn, now: Millis) -> None:
    """Remove what is long over: issues, and what was told of incidents that have ended."""
    conn.execute("DELETE FROM status_page_issues WHERE created_at < ?", (now - ISSUES_KEPT,))
    conn.execute(
        "DELETE FROM status_page_told WHERE at < ?1 AND incident_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM incidents i WHERE i.id = incident_id AND i.resolved_at IS NULL)",
        (now - ISSUES_KEPT,),
    )
    conn.execute("DELETE FROM status_page_told WHERE at < ?", (now - TOLD_KEPT,))
