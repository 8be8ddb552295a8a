"""Invitations. Of a link only the digest is stored."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.invitation import Invitation
from netpulse.model.letter import LetterKind
from netpulse.model.time import Millis
from netpulse.model.user import Role
from netpulse.storage import letters
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing
from netpulse.storage.table import Page

_COLUMNS = (
    "id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, accepted_by, version"
)
_RENEWED = "another link took its place"
_ACCEPTED = "the invitation was accepted"
_WITHDRAWN = "the invitation was withdrawn"
_ROLES = {role.word: role for role in (Role.VIEWER, Role.ADMIN)}


def get(conn: Conn, org_id: Id, invitation_id: Id) -> Invitation | None:
    """Return an invitation of the organization that was not accepted yet, or None; an expired one
    too."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM invitations WHERE org_id = ? AND id = ? AND accepted_at IS NULL",
        (org_id, invitation_id),
    )
    return None if row is None else _invitation(row)


def waiting_for(conn: Conn, org_id: Id, email: str) -> Invitation | None:
    """Return the organization's invitation of this address that was not accepted yet, or None; an
    expired one too."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM invitations"
        " WHERE org_id = ? AND email = ? AND accepted_at IS NULL",
        (org_id, email),
    )
    return None if row is None else _invitation(row)


def by_digest(conn: Conn, digest: str, now: Millis) -> Invitation | None:
    """Return what the link with this digest invites to, or None where it is none, was used, has
    expired, or leads to a deleted organization."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM invitations WHERE token_digest = ?1 AND accepted_at IS NULL"
        " AND expires_at > ?2 AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = org_id"
        " AND o.deleted_at IS NULL)",
        (digest, now),
    )
    return None if row is None else _invitation(row)


def page(conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20) -> Page[Invitation]:
    """Return the organization's invitations that were not accepted yet, the newest first; the
    expired ones too."""
    total = conn.one(
        "SELECT count(*) FROM invitations WHERE org_id = ? AND accepted_at IS NULL", (org_id,)
    )
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM invitations WHERE org_id = ? AND accepted_at IS NULL"
        " ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?",
        (org_id, limit, offset),
    )
    return Page([_invitation(row) for row in rows], int(total[0]) if total else 0)


def count_open(conn: Conn, org_id: Id, now: Millis) -> int:
    """Return how many invitations of the organization may still be accepted."""
    row = conn.one(
        "SELECT count(*) FROM invitations WHERE org_id = ? AND accepted_at IS NULL"
        " AND expires_at > ?",
        (org_id, now),
    )
    return int(row[0]) if row else 0


def insert(conn: Conn, invitation: Invitation, digest: str) -> Invitation:
    """Add an invitation whose link has this digest, and return it."""
    conn.execute(
        f"INSERT INTO invitations ({_COLUMNS}, token_digest, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            invitation.id,
            invitation.org_id,
            invitation.email,
            invitation.role.word,
            invitation.invited_by,
            invitation.created_at,
            invitation.expires_at,
            invitation.accepted_at,
            invitation.accepted_by,
            invitation.version,
            digest,
            invitation.created_at,
        ),
    )
    return invitation


def renew(
    conn: Conn,
    old: Invitation,
    digest: str,
    *,
    role: Role,
    invited_by: Id | None,
    expires_at: Millis,
    now: Millis,
) -> Invitation:
    """Give an invitation another link, which ends the old one, and return it as it is now. What
    waits of the letter with the old one is not sent any more.

    Raises:
        Missing: it was accepted or withdrawn meanwhile.
    """
    conn.execute(
        "UPDATE invitations SET token_digest = ?, role = ?, invited_by = ?, expires_at = ?,"
        " updated_at = ?, version = version + 1 WHERE id = ? AND accepted_at IS NULL",
        (digest, role.word, invited_by, expires_at, now, old.id),
    )
    stored = get(conn, old.org_id, old.id) if conn.changes else None
    if stored is None:
        raise Missing("invitation")
    letters.recall(conn, old.org_id, LetterKind.INVITATION, old.email, _RENEWED)
    return stored


def accept(conn: Conn, invitation: Invitation, user_id: Id, now: Millis) -> bool:
    """Use an invitation up; False where it was used, withdrawn or has expired: of any number of
    calls one is True. A letter of it that waits is not sent any more."""
    conn.execute(
        "UPDATE invitations SET accepted_at = ?1, accepted_by = ?2, updated_at = ?1"
        " WHERE id = ?3 AND accepted_at IS NULL AND expires_at > ?1",
        (now, user_id, invitation.id),
    )
    if conn.changes != 1:
        return False
    letters.recall(conn, invitation.org_id, LetterKind.INVITATION, invitation.email, _ACCEPTED)
    return True


def delete(conn: Conn, org_id: Id, invitation_id: Id) -> Invitation:
    """Withdraw an invitation and return it as it was; a letter of it that waits is not sent.

    Raises:
        Missing: the organization has no such invitation that was not accepted yet.
    """
    old = get(conn, org_id, invitation_id)
    if old is None:
        raise Missing("invitation")
    conn.execute("DELETE FROM invitations WHERE id = ?", (invitation_id,))
    letters.recall(conn, org_id, LetterKind.INVITATION, old.email, _WITHDRAWN)
    return old


def made_by(conn: Conn, org_id: Id, user_id: Id, now: Millis) -> list[Invitation]:
    """Return the open invitations that the user has made in the organization."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM invitations WHERE org_id = ? AND invited_by = ?"
        " AND accepted_at IS NULL AND expires_at > ? ORDER BY id",
        (org_id, user_id, now),
    )
    return [_invitation(row) for row in rows]


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove invitations that were accepted or have expired before `at`."""
    conn.execute("DELETE FROM invitations WHERE coalesce(accepted_at, expires_at) < ?", (at,))


def _invitation(row: Row) -> Invitation:
    return Invitation(
        id=row[0],
        org_id=row[1],
        email=row[2],
        role=_ROLES[row[3]],
        invited_by=row[4],
        created_at=row[5],
        expires_at=row[6],
        accepted_at=row[7],
        accepted_by=row[8],
        version=row[9],
    )
