"""Letters on their way. The text is sealed, and forgotten once a letter was sent or given up."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from netpulse.crypto.vault import SealBroken
from netpulse.model.ids import Id, new_id
from netpulse.model.letter import Letter, LetterKind
from netpulse.model.time import DAY, MINUTE, Millis
from netpulse.storage.conn import Conn, Row
from netpulse.storage.sealed import LETTER_BODY

KEPT = 90 * DAY
"""How long it is known that a letter was written."""
LONGEST_WAIT = 30 * MINUTE
"""No attempt is planned further ahead: what seems to be was planned before the clock was set back,
and is due."""

_COLUMNS = (
    "id, org_id, user_id, kind, recipient, subject, body, created_at, expires_at,"
    " next_attempt_at, attempt_count, sent_at, error, subscriber_id"
)
_OTHERS = "id NOT IN (SELECT value FROM json_each(?))"


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
    subscriber_id: Id | None = None,
) -> Id:
    """Write a letter in the caller's transaction; it is sent as soon as that is durable. Returns
    its id, which is also the same at every attempt in the mail's Message-ID.

    In the process that serves, `engine.letters_written()` after the commit has it sent at once;
    what other processes write is found within seconds.
    """
    letter_id = new_id(now)
    conn.execute(
        f"INSERT INTO letters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, NULL, ?)",
        (
            letter_id,
            org_id,
            user_id,
            kind.value,
            recipient,
            subject,
            conn.vault.seal(text.encode(), LETTER_BODY.context(letter_id)),
            now,
            expires_at,
            now,
            subscriber_id,
        ),
    )
    return letter_id


# On the way


def due(conn: Conn, now: Millis, limit: int = 20, busy: Collection[Id] = ()) -> list[Letter]:
    """Return letters to be tried now, the longest due first and news of status pages last, without
    those in `busy`.

    One whose text does not open says so in its `damage`; it keeps no other from its way.
    """
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM letters"
        f" WHERE (next_attempt_at <= ? OR next_attempt_at > ?) AND {_OTHERS}"
        # Somebody may wait for a letter; news are for many, and come after.
        " ORDER BY kind = 'status_news', next_attempt_at, id LIMIT ?",
        (now, now + LONGEST_WAIT, _listed(busy), limit),
    )
    return [_opened(conn, row) for row in rows]


def next_due(conn: Conn, busy: Collection[Id] = ()) -> Millis | None:
    """Return when the next letter that is not in `busy` is to be tried, or None if none waits."""
    row = conn.one(
        f"SELECT min(next_attempt_at) FROM letters WHERE next_attempt_at IS NOT NULL AND {_OTHERS}",
        (_listed(busy),),
    )
    return None if row is None or row[0] is None else int(row[0])


def sent(conn: Conn, letter_id: Id, now: Millis) -> None:
    """Note that a letter was handed over, and forget its text; of one to a subscriber of a status
    page forget all: there are as many as subscribers at each piece of news, and nobody asks."""
    conn.execute("DELETE FROM letters WHERE id = ? AND subscriber_id IS NOT NULL", (letter_id,))
    conn.execute(
        "UPDATE letters SET sent_at = ?, next_attempt_at = NULL, body = NULL, error = NULL,"
        " attempt_count = attempt_count + 1 WHERE id = ?",
        (now, letter_id),
    )


def failed(conn: Conn, letter_id: Id, error: str, again_at: Millis | None) -> None:
    """Note a failed attempt; `again_at` None gives the letter up and forgets its text.

    One that was given up meanwhile stays so, and keeps the reason it has.
    """
    conn.execute(
        "UPDATE letters SET error = ?2, attempt_count = attempt_count + 1, next_attempt_at = ?3,"
        " body = CASE WHEN ?3 IS NULL THEN NULL ELSE body END"
        " WHERE id = ?1 AND next_attempt_at IS NOT NULL",
        (letter_id, error, again_at),
    )


def hurry(conn: Conn, now: Millis) -> None:
    """Let everything that waits be tried now: what it waited for is over."""
    conn.execute("UPDATE letters SET next_attempt_at = ?1 WHERE next_attempt_at > ?1", (now,))


def recall(conn: Conn, org_id: Id | None, kind: LetterKind, recipient: str, why: str) -> None:
    """Give up what waits of a kind, from the organization (None: from none) to the recipient."""
    conn.execute(
        "UPDATE letters SET next_attempt_at = NULL, body = NULL, error = ?4"
        " WHERE org_id IS ?1 AND kind = ?2 AND recipient = ?3 AND next_attempt_at IS NOT NULL",
        (org_id, kind.value, recipient, why),
    )


def recall_from(conn: Conn, subscriber_ids: Sequence[Id], why: str) -> set[Id]:
    """Give up what waits for these subscribers of status pages; returns for whom there was some."""
    listed = _listed(subscriber_ids)
    rows = conn.all(
        "UPDATE letters SET next_attempt_at = NULL, body = NULL, error = ?2"
        " WHERE next_attempt_at IS NOT NULL"
        " AND subscriber_id IN (SELECT value FROM json_each(?1)) RETURNING subscriber_id",
        (listed, why),
    )
    return {row[0] for row in rows}


def waiting_count(conn: Conn, kind: LetterKind) -> int:
    """Return how many letters of a kind wait to be sent."""
    row = conn.one(
        "SELECT count(*) FROM letters WHERE next_attempt_at IS NOT NULL AND kind = ?", (kind.value,)
    )
    return int(row[0]) if row else 0


# What is known of them


def get(conn: Conn, letter_id: Id) -> Letter | None:
    """Return a letter without its text, or None."""
    row = conn.one(f"SELECT {_COLUMNS} FROM letters WHERE id = ?", (letter_id,))
    return None if row is None else _letter(row)


def unsent(conn: Conn, since: Millis, limit: int = 100) -> list[Letter]:
    """Return, without their text, letters written since then that wait or were given up, the
    newest first."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM letters WHERE created_at >= ? AND sent_at IS NULL"
        " ORDER BY created_at DESC, id DESC LIMIT ?",
        (since, limit),
    )
    return [_letter(row) for row in rows]


def latest(
    conn: Conn, org_id: Id, kind: LetterKind, recipients: Sequence[str]
) -> dict[str, Letter]:
    """Return, without its text, the newest letter of a kind that the organization wrote to each of
    the recipients; those to whom none is known are left out."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM letters WHERE org_id = ? AND kind = ?"
        " AND recipient IN (SELECT value FROM json_each(?)) ORDER BY created_at, id",
        (org_id, kind.value, _listed(recipients)),
    )
    return {row[4]: _letter(row) for row in rows}


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove what is known of letters written before `at` that wait for nothing; and of those to
    subscribers of status pages that are none any more, whose addresses are to be forgotten."""
    conn.execute("DELETE FROM letters WHERE created_at < ? AND next_attempt_at IS NULL", (at,))
    conn.execute(
        "DELETE FROM letters WHERE subscriber_id IS NOT NULL AND next_attempt_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM status_page_subscribers s WHERE s.id = subscriber_id)"
    )


def _listed(texts: Collection[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()


def _opened(conn: Conn, row: Row) -> Letter:
    if row[6] is None:
        return _letter(row)
    try:
        return _letter(row, text=conn.vault.open(row[6], LETTER_BODY.context(row[0])).decode())
    except SealBroken as error:
        return _letter(row, damage=str(error))


def _letter(row: Row, *, text: str = "", damage: str | None = None) -> Letter:
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
        subscriber_id=row[13],
        damage=damage,
    )
