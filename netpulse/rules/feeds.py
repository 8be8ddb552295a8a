"""Feeds of a status page: Atom (RFC 4287) and RSS 2.0, plain text in both.

An entry is an incident with its story, a maintenance, or an announcement. Its id is the page's
own, so that a reader knows an incident again when its story grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

from msgspec import Struct

from netpulse.model.board import Board, BoardIncident, BoardMaintenance
from netpulse.model.ids import Id
from netpulse.model.time import Millis, rfc3339
from netpulse.rules.markup import text

MOST_ENTRIES = 50


class Entry(Struct, frozen=True):
    """One entry of a feed. Moments are Unix milliseconds."""

    id: Id
    title: str
    text: str
    published: Millis
    updated: Millis
    place: str = ""
    """Where it is, below the page's address."""


class Feed(Struct, frozen=True):
    """A feed, before it is written in one format or the other."""

    title: str
    page_url: str
    feed_url: str
    page_id: Id
    """The page's own public id."""
    updated: Millis
    entries: tuple[Entry, ...]


def entries(board: Board, names: dict[Id, str]) -> tuple[Entry, ...]:
    """Return what a board has to say, the latest change first. `names` are its services'."""
    found = [_of_incident(one, names) for one in board.incidents]
    found += [_of_maintenance(one, names) for one in board.maintenance]
    found += [Entry(one.id, one.title, one.text, one.at, one.at) for one in board.announcements]
    found.sort(key=lambda entry: (entry.updated, entry.id), reverse=True)
    return tuple(found[:MOST_ENTRIES])


def _of_incident(incident: BoardIncident, names: dict[Id, str]) -> Entry:
    lines = [
        f"{_when(update.at)}"
        f"{' ' + update.status.value.capitalize() if update.status else ''}: {update.text}"
        for update in incident.updates
    ]
    return Entry(
        incident.id,
        f"{incident.status.value.capitalize()}: {incident.title}",
        "\n".join([*_about(incident.services, names), *lines]),
        incident.started_at,
        incident.changed_at,
        "/history",
    )


def _of_maintenance(plan: BoardMaintenance, names: dict[Id, str]) -> Entry:
    lines = [f"From {_when(plan.starts_at)} to {_when(plan.ends_at)}."]
    lines += _about(plan.services, names)
    if plan.text:
        lines.append(plan.text)
    title = f"Maintenance: {plan.title}"
    return Entry(plan.id, title, "\n".join(lines), plan.announced_at, plan.announced_at)


def _about(services: Sequence[Id], names: dict[Id, str]) -> list[str]:
    known = [names[one] for one in services if one in names]
    return [f"Of: {', '.join(known)}."] if known else []


def _when(at: Millis) -> str:
    moment = rfc3339(at)
    return f"{moment[:10]} {moment[11:16]} UTC"


def atom(feed: Feed) -> str:
    """Return the feed as Atom."""
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<id>urn:uuid:{feed.page_id}</id>",
        f"<title>{text(feed.title)}</title>",
        f"<updated>{rfc3339(feed.updated)}</updated>",
        f"<author><name>{text(feed.title)}</name></author>",
        f'<link rel="alternate" type="text/html" href="{text(feed.page_url)}"/>',
        f'<link rel="self" type="application/atom+xml" href="{text(feed.feed_url)}"/>',
    ]
    parts += [
        f"<entry><id>urn:uuid:{entry.id}</id><title>{text(entry.title)}</title>"
        f"<published>{rfc3339(entry.published)}</published>"
        f"<updated>{rfc3339(entry.updated)}</updated>"
        f'<link rel="alternate" type="text/html" href="{text(_link(feed, entry))}"/>'
        f'<content type="text">{text(entry.text)}</content></entry>'
        for entry in feed.entries
    ]
    return "\n".join([*parts, "</feed>\n"])


def rss(feed: Feed) -> str:
    """Return the feed as RSS 2.0."""
    about = f"{feed.title}: incidents, maintenance and announcements"
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>',
        f"<title>{text(feed.title)}</title>",
        f"<link>{text(feed.page_url)}</link>",
        f"<description>{text(about)}</description>",
        f"<lastBuildDate>{_rfc822(feed.updated)}</lastBuildDate>",
        f'<atom:link rel="self" type="application/rss+xml" href="{text(feed.feed_url)}"/>',
    ]
    parts += [
        # A story that grew is told again: readers of RSS know an entry by its guid alone.
        f'<item><guid isPermaLink="false">{entry.id}/{entry.updated}</guid>'
        f"<title>{text(entry.title)}</title><link>{text(_link(feed, entry))}</link>"
        f"<pubDate>{_rfc822(entry.updated)}</pubDate>"
        f"<description>{text(_as_html(entry.text))}</description></item>"
        for entry in feed.entries
    ]
    return "\n".join([*parts, "</channel></rss>\n"])


def _link(feed: Feed, entry: Entry) -> str:
    return f"{feed.page_url}{entry.place}#e-{entry.id}"


def _as_html(plain: str) -> str:
    """Return plain text as the HTML that readers of RSS take descriptions for."""
    return escape(plain).replace("\n", "<br>")


def _rfc822(at: Millis) -> str:
    return format_datetime(datetime.fromtimestamp(at // 1000, UTC))
