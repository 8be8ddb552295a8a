"""What `netpulse user` does for somebody who cannot get in any more. Each is told to them by mail.

The functions are run in storage's thread and return what to say on the terminal.
"""

from __future__ import annotations

from collections.abc import Callable

from netpulse.model.time import Millis
from netpulse.model.user import Actor, User
from netpulse.storage import audit, known_addresses, second_factors, sessions, users
from netpulse.storage.conn import Conn
from netpulse.web import security_notes

Reset = Callable[[Conn, User, bool, Millis], str]
"""(connection, whose, whether a mail server is configured, now) -> what to say."""


def password(hashed: str) -> Reset:
    """Return what sets a password, of which this is the hash."""

    def reset(conn: Conn, user: User, has_mail: bool, now: Millis) -> str:
        users.set_password(conn, user.id, hashed, now)
        sessions.end_all(conn, user.id, now)
        known_addresses.forget(conn, user.id)
        actor = Actor(kind="cli", label="user password")
        _note(conn, user, actor, "user.password_changed", now)
        if has_mail:
            security_notes.write(conn, user, "Your password was changed.", actor, now)
        return f"{user.email} has a new password; all their sessions have ended"

    return reset


def second_factor(conn: Conn, user: User, has_mail: bool, now: Millis) -> str:
    """Turn somebody's second factor off."""
    was_on = second_factors.reset(conn, user.id, now)
    actor = Actor(kind="cli", label="user reset-2fa")
    _note(conn, user, actor, "user.second_factor_reset", now, {"totp_enabled": was_on})
    if not was_on:
        return f"{user.email} had no second factor; all their sessions have ended"
    if has_mail:
        said = "Two-factor authentication was turned off for your account."
        security_notes.write(conn, user, said, actor, now)
    return f"The second factor of {user.email} is off; all their sessions have ended"


def addresses(conn: Conn, user: User, has_mail: bool, now: Millis) -> str:
    """Let somebody come from anywhere again."""
    if not user.ip_whitelist:
        return f"{user.email} may come from anywhere already"
    users.set_ip_whitelist(conn, user.id, (), now)
    actor = Actor(kind="cli", label="user reset-addresses")
    before, after = {"ip_whitelist": user.ip_whitelist}, {"ip_whitelist": ()}
    _note(conn, user, actor, "user.addresses_changed", now, before, after)
    if has_mail:
        said = "The addresses from which your account may be used were changed."
        security_notes.write(conn, user, said, actor, now)
    return f"{user.email} may come from anywhere again"


def _note(
    conn: Conn,
    user: User,
    actor: Actor,
    action: str,
    now: Millis,
    before: object = None,
    after: object = None,
) -> None:
    org_id = users.audited_in(conn, user)
    audit.append(conn, org_id, actor, action, "user", user.id, before, after, now)
