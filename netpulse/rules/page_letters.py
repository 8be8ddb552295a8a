"""What is written to subscribers of a status page: letters for people, JSON for machines.

The title of a page goes to strangers before they have said that they want it, so in the question
whether they do it is told like every name that others chose. What is told later was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netpulse.model.page_news import NewsEvent, NewsItem
from netpulse.model.time import Millis, rfc3339
from netpulse.rules.letters import Draft, plain_name
from netpulse.rules.messages import moment, one_line

MOST_ITEMS = 30
"""Told in one letter; the page tells of the others."""
MOST_LINES = 10
"""Of one story in one letter, the latest."""
MOST_TEXT = 5_000


def question(page: str, url: str, hours: int) -> Draft:
    """Return the letter that asks whether somebody indeed wants the news of a page."""
    return Draft(
        f"Do you want the news of {plain_name(page)}?",
        "Somebody, probably you, asked that this address be told the news of "
        f"{plain_name(page)}: its incidents and planned maintenance.\n\n"
        f"If you want that, say so within {hours} hours, here:\n\n{url}\n\n"
        "If not, do nothing: without you nothing happens.\n",
    )


def news(page: str, items: Sequence[NewsItem], zone: str, page_url: str, end_url: str) -> Draft:
    """Return the letter that tells the news of a page; times by the clock of `zone`."""
    parts = [_told(item, zone) for item in items[:MOST_ITEMS]]
    if len(items) > MOST_ITEMS:
        parts.append(f"And {len(items) - MOST_ITEMS} more; the page tells all of them.")
    parts.append(
        f"{one_line(page)}: {page_url}\n"
        "You get this because this address subscribed to that page. It takes one click to end "
        f"that:\n{end_url}"
    )
    return Draft(f"[{one_line(page, 60)}] {_subject(items)}", "\n\n".join(parts) + "\n")


def question_fields(
    page: str, page_url: str, confirm_url: str, end_url: str, secret: str, until: Millis
) -> dict[str, Any]:
    """Return the JSON that asks a webhook's owner whether they want the news of a page; with
    `secret` that and all that follows is signed."""
    return {
        "type": "status_page.confirm",
        "text": f"Somebody asked that this webhook be told the news of {plain_name(page)}. "
        f"Whoever runs it and wants that, says so here: {confirm_url}",
        "page": {"title": page, "url": page_url},
        "confirm_url": confirm_url,
        "unsubscribe_url": end_url,
        "signing_secret": secret,
        "expires_at": rfc3339(until),
    }


def news_fields(
    page: str, items: Sequence[NewsItem], page_url: str, end_url: str
) -> dict[str, Any]:
    """Return the JSON that tells the news of a page to a webhook."""
    return {
        "type": "status_page.news",
        "text": f"{one_line(page)}: {_subject(items)} {page_url}",
        "page": {"title": page, "url": page_url},
        "news": [_fields(item) for item in items],
        "unsubscribe_url": end_url,
    }


def _subject(items: Sequence[NewsItem]) -> str:
    first = _title(items[0])
    return first if len(items) == 1 else f"{first}, and {len(items) - 1} more"


def _title(item: NewsItem) -> str:
    title = one_line(item.title)
    match item.event:
        case NewsEvent.INCIDENT_RESOLVED:
            return f"Resolved: {title}"
        case NewsEvent.INCIDENT_UPDATED:
            return f"Update: {title}"
        case NewsEvent.MAINTENANCE_PLANNED:
            return f"Maintenance: {title}"
        case NewsEvent.INCIDENT_OPENED | NewsEvent.ANNOUNCEMENT:
            return title


def _told(item: NewsItem, zone: str) -> str:
    lines = [_title(item)]
    if item.event is NewsEvent.MAINTENANCE_PLANNED and item.ends_at is not None:
        again = ", and again after that" if item.repeats else ""
        lines.append(f"{moment(item.starts_at, zone)} to {moment(item.ends_at, zone)}{again}")
    if item.services:
        lines.append(f"Services: {', '.join(one_line(each) for each in item.services)}")
    if len(item.updates) > MOST_LINES:
        lines.append(f"({len(item.updates) - MOST_LINES} earlier lines are on the page)")
    for update in item.updates[-MOST_LINES:]:
        status = f", {update.status.value}" if update.status is not None else ""
        lines.append(f"{moment(update.at, zone)}{status}: {_text(update.text)}")
    if item.text:
        lines.append(_text(item.text))
    return "\n".join(lines)


def _text(text: str) -> str:
    """Return what people wrote with its lines, without other control characters."""
    return "\n".join(one_line(line, MOST_TEXT) for line in text[:MOST_TEXT].splitlines())


def _fields(item: NewsItem) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event": item.event.value,
        "id": item.id,
        "title": item.title,
        "services": list(item.services),
    }
    match item.event:
        case NewsEvent.ANNOUNCEMENT:
            return fields | {"text": item.text, "announced_at": rfc3339(item.starts_at)}
        case NewsEvent.MAINTENANCE_PLANNED:
            assert item.ends_at is not None, "a window has an end"
            return fields | {
                "text": item.text,
                "starts_at": rfc3339(item.starts_at),
                "ends_at": rfc3339(item.ends_at),
                "repeats": item.repeats,
            }
        case _:
            assert item.status is not None, "an incident has a status"
            return fields | {
                "status": item.status.value,
                "impact": None if item.impact is None else item.impact.value,
                "started_at": rfc3339(item.starts_at),
                "resolved_at": None if item.ends_at is None else rfc3339(item.ends_at),
                "updates": [
                    {
                        "at": rfc3339(line.at),
                        "status": None if line.status is None else line.status.value,
                        "text": line.text,
                    }
                    for line in item.updates
                ],
            }
