"""Feeds: read by the standard library's parser, with nothing lost and nothing let through."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

from netpulse.model.board import (
    Board,
    BoardAnnouncement,
    BoardGroup,
    BoardIncident,
    BoardMaintenance,
    BoardService,
    BoardUpdate,
    PublicStatus,
)
from netpulse.model.ids import public_id
from netpulse.model.incident import Impact, IncidentStatus
from netpulse.model.time import HOUR, MINUTE, parse_rfc3339
from netpulse.rules import feeds
from netpulse.rules.feeds import Feed
from tests.clock import START

ATOM = "{http://www.w3.org/2005/Atom}"
SHOP, FIRE, MOVE, NEWS = (public_id("page", each) for each in ("shop", "fire", "move", "news"))
POLYGLOT = "]]></content><script>alert(1)</script>\"'&amp;\x00\ufffe"

BOARD = Board(
    status=PublicStatus.OUTAGE,
    groups=(
        BoardGroup(
            name="",
            services=(BoardService(id=SHOP, name="Shop", status=PublicStatus.OUTAGE, since=START),),
        ),
    ),
    incidents=(
        BoardIncident(
            id=FIRE,
            title="Fire " + POLYGLOT,
            status=IncidentStatus.IDENTIFIED,
            impact=Impact.MAJOR,
            is_manual=True,
            started_at=START,
            resolved_at=None,
            changed_at=START + 5 * MINUTE,
            services=(SHOP,),
            updates=(
                BoardUpdate(at=START, status=IncidentStatus.INVESTIGATING, text="It burns."),
                BoardUpdate(at=START + 5 * MINUTE, status=None, text=POLYGLOT),
            ),
        ),
    ),
    maintenance=(
        BoardMaintenance(
            id=MOVE,
            title="Move",
            text="We move.",
            starts_at=START + HOUR,
            ends_at=START + 2 * HOUR,
            announced_at=START + MINUTE,
            is_active=False,
            repeats=False,
            plan=MOVE,
            services=(SHOP,),
        ),
    ),
    announcements=(BoardAnnouncement(id=NEWS, title="News", text="Read this.", at=START),),
    changes_at=START + HOUR,
)


def feed(title: str = "Acme") -> Feed:
    return Feed(
        title=title,
        page_url="https://status.example",
        feed_url="https://status.example/feed",
        page_id=public_id("page", "page"),
        updated=START,
        entries=feeds.entries(BOARD, {SHOP: "Shop"}),
    )


def test_atom() -> None:
    root = ElementTree.fromstring(feeds.atom(feed()).encode())  # noqa: S314 - our own text
    assert root.tag == f"{ATOM}feed"
    assert [each.tag.removeprefix(ATOM) for each in root if each.tag != f"{ATOM}entry"] == [
        "id",
        "title",
        "updated",
        "author",
        "link",
        "link",
    ]
    entries = root.findall(f"{ATOM}entry")
    assert [each.findtext(f"{ATOM}id") for each in entries] == [
        f"urn:uuid:{FIRE}",
        f"urn:uuid:{MOVE}",
        f"urn:uuid:{NEWS}",
    ]
    fire, move, news = entries
    assert fire.findtext(f"{ATOM}title") == "Identified: Fire " + POLYGLOT.replace(
        "\x00", "\ufffd"
    ).replace("\ufffe", "\ufffd")
    assert parse_rfc3339(fire.findtext(f"{ATOM}updated") or "") == START + 5 * MINUTE
    assert parse_rfc3339(fire.findtext(f"{ATOM}published") or "") == START
    content = fire.findtext(f"{ATOM}content") or ""
    assert content.startswith("Of: Shop.\n2025-12-17 19:33 UTC Investigating: It burns.\n")
    assert content.endswith("2025-12-17 19:38 UTC: " + POLYGLOT[:-2] + "\ufffd\ufffd")
    links = {each.get("href") for each in fire.iter(f"{ATOM}link")}
    assert links == {f"https://status.example/history#e-{FIRE}"}
    assert move.findtext(f"{ATOM}content") == (
        "From 2025-12-17 20:33 UTC to 2025-12-17 21:33 UTC.\nOf: Shop.\nWe move."
    )
    assert {each.get("href") for each in news.iter(f"{ATOM}link")} == {
        f"https://status.example#e-{NEWS}"
    }


def test_rss() -> None:
    root = ElementTree.fromstring(feeds.rss(feed(POLYGLOT)).encode())  # noqa: S314 - our own text
    assert root.tag == "rss"
    (channel,) = root
    assert channel.findtext("title") == POLYGLOT[:-2] + "\ufffd\ufffd"
    assert channel.findtext("link") == "https://status.example"
    items = channel.findall("item")
    assert len(items) == 3
    assert items[0].findtext("guid") == f"{FIRE}/{START + 5 * MINUTE}"
    moment = parsedate_to_datetime(items[0].findtext("pubDate") or "")
    assert int(moment.timestamp()) == (START + 5 * MINUTE) // 1000
    described = items[0].findtext("description") or ""
    # Readers show this as HTML: what was text must still be text there.
    assert "<script" not in described
    assert "&lt;script&gt;" in described
    assert "<br>" in described
