"""What a restored main file must forget before it is used: what was true only at its own time."""

from __future__ import annotations

from netpulse.model.backup import Manifest
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.storage import audit
from netpulse.storage.conn import Conn


def settle(conn: Conn, manifest: Manifest, actor: Actor, now: Millis) -> None:
    """Make a restored main file fit to go on with, in the caller's transaction.

    Sign-ins end: one that was ended after the backup must not come to life again. Notices and
    letters that waited then are not told now: whoever was to hear of them has, or it is long over.
    """
    conn.execute("DELETE FROM sessions")
    conn.execute("UPDATE refresh_families SET revoked_at = ? WHERE revoked_at IS NULL", (now,))
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
    after = {"made_at": manifest.made_at, "version": manifest.version}
    audit.append(conn, audit.INSTANCE, actor, "instance.restored", "backup", None, None, after, now)
