"""Letters to a person whose account was changed: they hear of it, whoever did it.

Written in the transaction of the change, so that the one is never there without the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.model.user import Actor, User
from netpulse.rules import letters as words
from netpulse.storage import letters
from netpulse.storage.db import Conn

if TYPE_CHECKING:
    # Commands tell too, and have no use for all that is in it.
    from netpulse.web.house import House

_OF_USE_FOR = 2 * DAY


def tell(conn: Conn, house: House, user: User, what: str, actor: Actor, now: Millis) -> None:
    """Write to `user` that something about their account has changed; `what` is a whole sentence
    ("Your password was changed."). Where no mail server is configured nothing is written."""
    if house.carrier.mail is not None:
        write(conn, user, what, actor, now)


def write(conn: Conn, user: User, what: str, actor: Actor, now: Millis) -> None:
    """Write to `user` in any case: for commands, which know the configuration but have no house."""
    letter = words.security(what, rfc3339(now), actor.ip, _by(user, actor))
    letters.post(
        conn,
        LetterKind.SECURITY,
        user.email,
        letter.subject,
        letter.text,
        now,
        expires_at=now + _OF_USE_FOR,
        user_id=user.id,
    )


def _by(user: User, actor: Actor) -> str:
    if actor.kind == "cli":
        return "the command line"
    if actor.kind == "user" and actor.user_id == user.id:
        # Not "you": it may be somebody who took over the sign-in.
        return "your own account"
    return actor.label or "somebody who was not signed in"
