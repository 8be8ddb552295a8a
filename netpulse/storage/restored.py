"""What a restored main file must forget before it is used: what was true only at its own time."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.backup import Manifest
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.storage import audit, page_news
from netpulse.storage.conn import Conn


class Returned(Struct, frozen=True):
    """Who may come in again as at the time of the backup, whatever was revoked since: nothing in a
    backup tells, so that the people who run the instance must look."""

    api_keys: int
    """Those that have not expired."""
    people: int
    """Those who are not disabled."""
    grants: int
    """Rights of an MSP's people in its clients."""


def settle(conn: Conn, manifest: Manifest, actor: Actor, now: Millis) -> Returned:
    """Make a restored main file fit to go on with, in the caller's transaction; returns whose
    access came back with it.

    Sign-ins end: one that was ended after the backup must not come to life again. So do links to
    a new password and invitations: they may have been used or withdrawn since. Notices, letters and
    news of status pages that waited then are not told now: whoever was to hear of them has, or it
    is long over.
    """
    conn.execute("DELETE FROM sessions")
    conn.execute("UPDATE refresh_families SET revoked_at = ? WHERE revoked_at IS NULL", (now,))
    conn.execute("UPDATE password_resets SET used_at = ? WHERE used_at IS NULL", (now,))
    # They stay in the list as expired, to be sent again; no link has such a digest, so that a clock
    # that is set back opens none.
    conn.execute(
        "UPDATE invitations SET expires_at = min(expires_at, ?1), token_digest = 'ended ' || id,"
        " updated_at = ?1, version = version + 1 WHERE accepted_at IS NULL",
        (now,),
    )
    why = f"it waited in the backup of {manifest.made_at}, and was not told again"
    conn.execute(
        "UPDATE alert_events SET status = 'failed', error = ?, next_attempt_at = NULL,"
        " held_for = NULL, fallback_at = NULL, claimed_by = NULL, claimed_until = NULL"
        " WHERE status = 'pending'",
        (why,),
    )
    conn.execute(
        "UPDATE letters SET error = ?, next_attempt_at = NULL, body = NULL"
        " WHERE next_attempt_at IS NOT NULL",
        (why,),
    )
    page_news.begin_again(conn, now)
    returned = _returned(conn, now)
    after = {
        "made_at": manifest.made_at,
        "version": manifest.version,
        "api_keys": returned.api_keys,
        "people": returned.people,
        "grants": returned.grants,
    }
    audit.append(conn, audit.INSTANCE, actor, "instance.restored", "backup", None, None, after, now)
    return returned


def _returned(conn: Conn, now: Millis) -> Returned:
    row = conn.one(
        "SELECT (SELECT count(*) FROM api_keys WHERE expires_at IS NULL OR expires_at > ?),"
        " (SELECT count(*) FROM users WHERE is_active),"
        " (SELECT count(*) FROM memberships WHERE kind = 'grant' AND is_active)",
        (now,),
    )
    assert row is not None, "a SELECT without FROM has one row"
    return Returned(*row)
