"""What is rendered of a status page: pages, feeds, badges, its style sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from netpulse.model.board import Board, BoardDay, BoardIncident, BoardService, PublicStatus
from netpulse.model.ids import Id, public_id
from netpulse.model.status_page import StatusPage, Theme
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.rules import badges, boards, colors, feeds
from netpulse.web import phrases
from netpulse.web.api.status_page_answers import logo_path
from netpulse.web.figures import duration, outages
from netpulse.web.languages import code, mark, plural, say
from netpulse.web.pages.templates import environment
from netpulse.web.status import sending
from netpulse.web.status.shelf import Rendered, Shown, rendered

RECENT = 14 * DAY
"""How far back the page itself tells of incidents; its history goes further."""

MOST_STORIES = 20_000
"""Days that are kept in words, of all pages and languages; most are told alike."""

Render = Callable[[Shown], Rendered]

HTML = "text/html"

_HEADLINES = {
    PublicStatus.OPERATIONAL: mark("All systems operational"),
    PublicStatus.DEGRADED: mark("Degraded service"),
    PublicStatus.OUTAGE: mark("Outage"),
    PublicStatus.MAINTENANCE: mark("Maintenance under way"),
    PublicStatus.UNKNOWN: mark("The state is not known right now"),
}
_WORDS = {
    PublicStatus.OPERATIONAL: mark("Operational"),
    PublicStatus.DEGRADED: mark("Degraded"),
    PublicStatus.OUTAGE: mark("Outage"),
    PublicStatus.MAINTENANCE: mark("Maintenance"),
    PublicStatus.UNKNOWN: mark("Unknown"),
}
STATES = {
    PublicStatus.OPERATIONAL: "up",
    PublicStatus.DEGRADED: "degraded",
    PublicStatus.OUTAGE: "down",
    PublicStatus.MAINTENANCE: "maintenance",
    PublicStatus.UNKNOWN: "unknown",
}
"""The state whose badge and colour a public one has."""


# Pages


def overview(base: str) -> Render:
    """Return what renders the page itself; `base` is what its addresses begin with."""

    def render(shown: Shown) -> Rendered:
        board = shown.board
        since = shown.at - RECENT
        told = [
            incident_view(one, board)
            for one in board.incidents
            if one.resolved_at is not None and one.resolved_at > since
        ]
        return _page(
            "status/page.html",
            shown.page,
            base,
            headline=headline(board),
            open=[incident_view(one, board) for one in board.incidents if one.resolved_at is None],
            maintenance=[
                {
                    "id": one.id,
                    "title": one.title,
                    "text": one.text,
                    "starts_at": rfc3339(one.starts_at),
                    "ends_at": rfc3339(one.ends_at),
                    "is_active": one.is_active,
                    "services": _names(one.services, board),
                }
                for one in board.maintenance
            ],
            announcements=[
                {"id": one.id, "title": one.title, "text": one.text, "at": rfc3339(one.at)}
                for one in board.announcements
            ],
            groups=[
                {
                    "name": group.name,
                    "services": [service_view(one, shown.page) for one in group.services],
                }
                for group in board.groups
                if group.services
            ],
            recent=told,
        )

    return render


def history(base: str) -> Render:
    """Return what renders the incidents of the last 90 days."""

    def render(shown: Shown) -> Rendered:
        board = shown.board
        told = [incident_view(one, board) for one in board.incidents]
        return _page("status/history.html", shown.page, base, incidents=told)

    return render


def password(page: StatusPage, base: str, error: str) -> str:
    """Return the page that asks for the password; it tells no more than the title."""
    return _text("status/password.html", page, base, error=error)


def plain(page: StatusPage, base: str, template: str, **shown: Any) -> str:
    """Return another page under the name of a status page."""
    return _text(template, page, base, **shown)


def headline(board: Board) -> dict[str, str]:
    """Return the state of a page in words."""
    text = say(_HEADLINES[board.status])
    services = board.services
    out = sum(one.status is PublicStatus.OUTAGE for one in services)
    if board.status is PublicStatus.OUTAGE and 0 < out < len(services):
        text = say("Outage: %(out)s of %(total)s services", out=out, total=len(services))
    if board.status is PublicStatus.UNKNOWN and not services:
        text = say("Nothing is shown here yet")
    return {"status": STATES[board.status], "text": text}


def service_view(service: BoardService, page: StatusPage) -> dict[str, Any]:
    """Return a service as the templates take it."""
    return {
        "id": service.id,
        "name": service.name,
        "state": STATES[service.status],
        "word": say(_WORDS[service.status]),
        "bar": {"days": len(service.days), "runs": [list(run) for run in boards.runs(service)]}
        if service.days
        else None,
        "days": f"[{','.join([_story(day) for day in service.days])}]",
        "bar_words": bar_words(service.days),
        "shows_uptime": page.figures.uptime,
        "uptime_percent": service.uptime_percent,
        "shows_response": page.figures.response_times,
        "response_time_ms": service.response_time_ms,
    }


def bar_words(days: Sequence[BoardDay]) -> str:
    """Return what the days of a bar have been, in words: "3 days with an outage, 1 not known"."""
    counts = Counter(day.status for day in days if day.known)
    parts: list[str] = []
    for status, further in _COUNTED.items():
        n = counts[status]
        if n:
            parts.append(say(further, num=n) if parts else _first(status, n))
    if not parts:
        return say("No outage in these days") if counts else say("No data yet")
    return ", ".join(parts)


_COUNTED = {
    PublicStatus.OUTAGE: mark("%(num)s with an outage"),
    PublicStatus.DEGRADED: mark("%(num)s degraded"),
    PublicStatus.MAINTENANCE: mark("%(num)s with maintenance"),
    PublicStatus.UNKNOWN: mark("%(num)s not known"),
}
"""By state: days of it, beside others."""


def _first(status: PublicStatus, n: int) -> str:
    if status is PublicStatus.OUTAGE:
        return plural(n, "%(num)s day with an outage", "%(num)s days with an outage")
    if status is PublicStatus.DEGRADED:
        return plural(n, "%(num)s day degraded", "%(num)s days degraded")
    if status is PublicStatus.MAINTENANCE:
        return plural(n, "%(num)s day with maintenance", "%(num)s days with maintenance")
    return plural(n, "%(num)s day not known", "%(num)s days not known")


def _story(day: BoardDay) -> str:
    """Return a day's story as JSON.

    It is kept, for a page is made anew when one thing on it changes, and has thousands of days.
    """
    down, degraded = day.down_seconds, day.degraded_seconds
    return _told(day.start, day.status, day.known, down, degraded, day.outages, code())


@lru_cache(maxsize=MOST_STORIES)
def _told(
    start: Millis,
    status: PublicStatus,
    known: bool,
    down_seconds: int,
    degraded_seconds: int,
    outages: int,
    spoken: str,
) -> str:
    del spoken  # it is that of the request, and part of what is told
    day = BoardDay(
        start=start,
        status=status,
        known=known,
        down_seconds=down_seconds,
        degraded_seconds=degraded_seconds,
        outages=outages,
    )
    return msgspec.json.encode({"text": day_text(day)}).decode()


def day_text(day: BoardDay) -> str:
    """Return a day's story: "2026-11-23: down for 3 min (1 outage)"."""
    date = rfc3339(day.start)[:10]
    if not day.known:
        return f"{date}: " + say("no data")
    if day.status is PublicStatus.OUTAGE:
        down = say("down for %(duration)s", duration=duration(day.down_seconds))
        return f"{date}: {down}{outages(day.outages)}"
    if day.status is PublicStatus.DEGRADED:
        degraded = say("degraded for %(duration)s", duration=duration(day.degraded_seconds))
        return f"{date}: {degraded}"
    return f"{date}: {say(_DAY_WORDS[day.status])}"


_DAY_WORDS = {
    PublicStatus.OPERATIONAL: mark("operational"),
    PublicStatus.MAINTENANCE: mark("maintenance"),
    PublicStatus.UNKNOWN: mark("not known"),
}


def incident_view(incident: BoardIncident, board: Board) -> dict[str, Any]:
    """Return an incident as the templates take it, the latest line first."""
    end = incident.resolved_at
    return {
        "id": incident.id,
        "title": incident.title if incident.is_manual else phrases.told(incident.title),
        "status": incident.status.value,
        "started_at": rfc3339(incident.started_at),
        "resolved_at": None if end is None else rfc3339(end),
        "duration_seconds": None if end is None else (end - incident.started_at) // 1000,
        "services": _names(incident.services, board),
        "updates": [
            {
                "at": rfc3339(line.at),
                "status": None if line.status is None else line.status.value,
                "text": phrases.told(line.text) if line.is_ours else line.text,
            }
            for line in reversed(incident.updates)
        ],
    }


def _names(ids: tuple[Id, ...], board: Board) -> list[str]:
    names = {service.id: service.name for service in board.services}
    return [names[one] for one in ids if one in names]


def _page(template: str, page: StatusPage, base: str, **shown: Any) -> Rendered:
    return rendered(HTML, _text(template, page, base, **shown))


def _text(template: str, page: StatusPage, base: str, **shown: Any) -> str:
    logo = logo_path(page)
    theme = page.branding.theme
    context = {
        "page": {
            "title": page.title,
            "text": page.text,
            "url": base or "/",
            "base": base,
            "logo": None if logo is None else base + logo,
            "style": base + style_path(page),
            "theme": None if theme is Theme.AUTO else theme.value,
            "is_indexed": page.is_indexed and page.password_hash is None,
            "has_password": page.password_hash is not None,
            "takes_subscribers": page.takes_subscribers,
        }
    }
    return environment().get_template(template).render(context | shown)


# The style sheet


def style_path(page: StatusPage) -> str:
    """Return where a page's style sheet is: its colours are in the address, so that a browser may
    keep what it has for ever."""
    chosen = page.branding.colors
    parts = [(color or "").removeprefix("#") or "own" for color in (chosen.accent, chosen.header)]
    return f"/style/{'-'.join(parts)}.css"


def style(page: StatusPage) -> Rendered:
    """Return a page's colours as a style sheet, fitted so that text stays legible."""
    rules = []
    chosen = page.branding.colors
    if chosen.accent is not None:
        accent = colors.read(chosen.accent)
        light = colors.shown(colors.fitted(accent, colors.LIGHT_GROUND))
        dark = colors.shown(colors.fitted(accent, colors.DARK_GROUND))
        # White stands on a button in both themes.
        button = colors.shown(colors.fitted(accent, colors.WHITE))
        rules.append(
            f":root, [data-bs-theme] {{ --tblr-link-color: light-dark({light}, {dark});"
            f" --tblr-link-hover-color: light-dark({light}, {dark});"
            f" --np-page-accent: {button}; }}"
        )
    if chosen.header is not None:
        header = colors.read(chosen.header)
        ink = colors.shown(colors.ink(header))
        rules.append(
            f":root {{ --np-page-header: {colors.shown(header)}; --np-page-header-ink: {ink}; }}"
        )
    return rendered("text/css", "\n".join([*rules, ""]))


# Feeds


def atom(base: str, origin: str) -> Render:
    """Return what renders the Atom feed; `origin` is scheme and host of its addresses."""

    def render(shown: Shown) -> Rendered:
        feed = _feed(shown, f"{origin}{base}", "feed.atom")
        return rendered("application/atom+xml", feeds.atom(feed))

    return render


def rss(base: str, origin: str) -> Render:
    """Return what renders the RSS feed."""

    def render(shown: Shown) -> Rendered:
        feed = _feed(shown, f"{origin}{base}", "feed.rss")
        return rendered("application/rss+xml", feeds.rss(feed))

    return render


def _feed(shown: Shown, url: str, name: str) -> feeds.Feed:
    page, board = shown.page, shown.board
    names = {service.id: service.name for service in board.services}
    entries = feeds.entries(board, names)
    latest: Millis = max([page.created_at, *(entry.updated for entry in entries)])
    return feeds.Feed(
        title=page.title,
        page_url=url,
        feed_url=f"{url}/{name}",
        page_id=public_id(page.id, page.id),
        updated=latest,
        entries=entries,
    )


# Badges


def badge(shown: Shown) -> Rendered:
    """Return the badge of the whole page."""
    return rendered(sending.SVG, badges.status(shown.page.title, shown.board.status))


def status_badge(service: BoardService) -> Render:
    """Return what renders the badge of a service's state."""
    return lambda shown: rendered(sending.SVG, badges.status(service.name, service.status))


def uptime_badge(service: BoardService) -> Render:
    """Return what renders the badge of a service's uptime."""
    return lambda shown: rendered(
        sending.SVG, badges.uptime(service.name, service.uptime_percent, "90 d")
    )
