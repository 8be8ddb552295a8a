"""Letters on their way. The text is sealed, and forgotten once a letter was sent or given up."""

from __future__ import annotations

from netpulse.model.ids import Id, new_id
from netpulse.model.letter import Letter, LetterKind
from netpulse.model.time import DAY, Millis
from netpulse.storage.conn import Conn, Row

KEPT = 90 * DAY
"""How long it is known that a letter was written."""

_COLUMNS = (
    "id, org_id, user_id, kind, recipient, subject, body, created_at, expires_at,"
    " next_attempt_at, attempt_count, sent_at, error"
)


def post(
    conn: Conn,
    kind: LetterKind,
    recipient: str,
    subject: str,
    text: str,
    now: Millis,
    *,
    expires_at: Millis,
    org_id: Id | None = None,
    user_id: Id | None = None,
) -> Id:
    """Write a letter in the caller's transaction; it is sent as soon as that is durable. Returns
    its id, which is also the same at every attempt in the mail's Message-ID."""
    letter_id = new_id(now)
    conn.execute(
        f"INSERT INTO letters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, NULL)",
        (
            letter_id,
            org_id,
            user_id,
            kind.value,
            recipient,
            subject,
            conn.vault.seal(text.encode(), _context(letter_id)),
            now,
            expires_at,
            now,
        ),
    )
    return letter_id


def due(conn: Conn, now: Millis, limit: int = 20) -> list[Letter]:
    """Return letters to be tried now, the longest due first.

    Raises:
        SealBroken: a text does not open.
    """
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM letters WHERE next_attempt_at <= ?"
        " ORDER BY next_attempt_at, id LIMIT ?",
        (now, limit),
    )
    return [_letter(conn, row) for row in rows]


def next_due(conn: Conn) -> Millis | None:
    """Return when the next letter is to be tried, or None if none waits."""
    row = conn.one("SELECT min(next_attempt_at) FROM letters WHERE next_attempt_at IS NOT NULL")
    return None if row is None or row[0] is None else int(row[0])


def sent(conn: Conn, letter_id: Id, now: Millis) -> None:
    """Note that a letter was handed over, and forget its text."""
    conn.execute(
        "UPDATE letters SET sent_at = ?, next_attempt_at = NULL, body = NULL, error = NULL,"
        " attempt_count = attempt_count + 1 WHERE id = ?",
        (now, letter_id),
    )


def failed(conn: Conn, letter_id: Id, error: str, again_at: Millis | None) -> None:
    """Note a failed attempt; `again_at` None gives the letter up and forgets its text."""
    conn.execute(
        "UPDATE letters SET error = ?2, attempt_count = attempt_count + 1, next_attempt_at = ?3,"
        " body = CASE WHEN ?3 IS NULL THEN NULL ELSE body END WHERE id = ?1",
        (letter_id, error, again_at),
    )


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove what is known of letters written before `at` that wait for nothing."""
    conn.execute("DELETE FROM letters WHERE created_at < ? AND next_attempt_at IS NULL", (at,))


def _context(letter_id: Id) -> str:
    return f"letters|body|{letter_id}|-"


def _letter(conn: Conn, row: Row) -> Letter:
    text = "" if row[6] is None else conn.vault.open(row[6], _context(row[0])).decode()
    return Letter(
        id=row[0],
        org_id=row[1],
        user_id=row[2],
        kind=LetterKind(row[3]),
        recipient=row[4],
        subject=row[5],
        text=text,
        created_at=row[7],
        expires_at=row[8],
        next_attempt_at=row[9],
        attempt_count=row[10],
        sent_at=row[11],
        error=row[12],
    )
