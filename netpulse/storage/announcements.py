"""What is announced on status pages besides incidents and maintenance."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.status_page import Announcement
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn, Row

_ANNOUNCED = "id, page_id, title, text, ends_at, created_by, created_at, version"


def of_page(
    conn: Conn, page_id: Id, *, now: Millis | None = None, limit: int = 50
) -> list[Announcement]:
    """Return a page's announcements, the latest first; with `now` those that are shown then.
    Whose page it is, `status_pages.get` has told."""
    rows = conn.all(
        f"SELECT {_ANNOUNCED} FROM status_page_announcements WHERE page_id = ?1"
        " AND (?2 IS NULL OR ends_at IS NULL OR ends_at > ?2)"
        " ORDER BY created_at DESC, id DESC LIMIT ?3",
        (page_id, now, limit),
    )
    return [_announcement(row) for row in rows]


def get(conn: Conn, page_id: Id, announcement_id: Id) -> Announcement | None:
    """Return one of a page's announcements, or None."""
    row = conn.one(
        f"SELECT {_ANNOUNCED} FROM status_page_announcements WHERE page_id = ? AND id = ?",
        (page_id, announcement_id),
    )
    return None if row is None else _announcement(row)


def insert(conn: Conn, item: Announcement) -> Announcement:
    """Add an announcement."""
    conn.execute(
        f"INSERT INTO status_page_announcements ({_ANNOUNCED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            item.id,
            item.page_id,
            item.title,
            item.text,
            item.ends_at,
            item.created_by,
            item.created_at,
            item.version,
        ),
    )
    return item


def delete(conn: Conn, item: Announcement) -> None:
    """Remove an announcement."""
    conn.execute("DELETE FROM status_page_announcements WHERE id = ?", (item.id,))


def _announcement(row: Row) -> Announcement:
    return Announcement(
        id=row[0],
        page_id=row[1],
        title=row[2],
        text=row[3],
        ends_at=row[4],
        created_by=row[5],
        created_at=row[6],
        version=row[7],
    )
