"""What letters say: mail from NetPulse itself, in plain text, with nothing in it to click blindly.

Names of people and organizations are put in as they are; line ends in them become spaces, so that
nobody can write lines of their own into a letter.
"""

from __future__ import annotations

from msgspec import Struct

MOST_NAME = 100
"""How much of a name is repeated."""


class Letter(Struct, frozen=True):
    """The words of a letter."""

    subject: str
    text: str


def invitation(org: str, inviter: str, role: str, url: str, days: int) -> Letter:
    """Return the invitation into an organization; `role` is the word for people."""
    return Letter(
        f"{_line(inviter)} invites you to {_line(org)} on NetPulse",
        f"{_line(inviter)} invites you to watch over {_line(org)} with NetPulse, as {role}.\n\n"
        f"Accept here within {days} days:\n\n{url}\n\n"
        "If you do not know what this is about, do nothing: without you nothing happens.\n",
    )


def password_reset(url: str, minutes: int) -> Letter:
    """Return the letter with which a forgotten password is replaced."""
    return Letter(
        "Set a new password for NetPulse",
        "Somebody, probably you, asked for a new password for your NetPulse account.\n\n"
        f"Set it here within {minutes} minutes, once:\n\n{url}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n",
    )


def security(what: str, when: str, ip: str | None, by: str) -> Letter:
    """Return the notice that something about an account has changed.

    `what` is a whole sentence, `when` an RFC 3339 time, `by` who did it ("your own account", an
    address, "the command line").
    """
    where = f" from {ip}" if ip else ""
    return Letter(
        f"NetPulse: {what.rstrip('.')[:1].lower()}{what.rstrip('.')[1:]}",
        f"{what}\n\nWhen: {when}\nBy: {_line(by)}{where}\n\n"
        "If that was not you, or you do not know why, tell the administrator of your NetPulse at "
        "once, change your password and end your other sessions.\n",
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:MOST_NAME]
