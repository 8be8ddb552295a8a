"""Who may do what to whom in an organization. Asked inside the transaction that does it, so that of
two changes at once the second is judged by what the first has left.
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.user import Membership, Role


class Why(StrEnum):
    """What a refusal is about."""

    FORBIDDEN = "forbidden"
    LAST_ADMIN = "last_admin"
    """The organization would have nobody left to run it."""


class Refusal(Struct, frozen=True):
    """Why something may not be done."""

    why: Why
    message: str


class Standing(Struct, frozen=True):
    """Who acts, and what they may do in the organization at this moment."""

    user_id: Id
    role: Role | None
    """None: nothing."""


_SELF = (
    "Nobody changes their own role, disables or removes themselves; ask another administrator of "
    "the organization"
)
_GRANT = (
    "This person has their rights here from your provider, who alone can change them or take them "
    "back"
)
_SUPER = "Only a super administrator may change or remove a super administrator"
_NOT_HOME = (
    "A super administrator must be at home in this organization; this person's account belongs to "
    "another one"
)
_LAST = (
    "This is the last active administrator of the organization; make somebody else an "
    "administrator first"
)
_GONE = "You may do nothing in this organization any more"


def handling(actor: Standing, member: Membership) -> Refusal | None:
    """Return why the actor may do nothing at all to the member, or None."""
    return _powerless(actor) or _out_of_reach(actor, member)


def changing(
    actor: Standing, old: Membership, new: Membership, admins: Set[Id], *, at_home: bool
) -> Refusal | None:
    """Return why the actor may not make `new` of `old`, or None.

    Args:
        actor: who does it.
        old: the membership as it is stored at this moment.
        new: what is wanted.
        admins: the organization's active administrators at this moment.
        at_home: whether the organization is the member's home.
    """
    refusal = _powerless(actor)
    if refusal is None and not (new.is_active and new.role >= Role.ADMIN):
        refusal = _last(old, admins)
    refusal = refusal or _out_of_reach(actor, old) or _above(actor, new.role)
    if refusal is None and new.role is Role.SUPER_ADMIN and not at_home:
        refusal = Refusal(Why.FORBIDDEN, _NOT_HOME)
    return refusal


def removing(actor: Standing, old: Membership, admins: Set[Id]) -> Refusal | None:
    """Return why the actor may not remove a member, or None; `admins` as in `changing`."""
    return _powerless(actor) or _last(old, admins) or _out_of_reach(actor, old)


def inviting(actor: Standing, role: Role) -> Refusal | None:
    """Return why the actor may not invite somebody as `role`, or None."""
    return _powerless(actor) or _above(actor, role)


def roles_to_give(actor: Standing, *, at_home: bool) -> list[Role]:
    """Return the roles that the actor may give somebody, the lowest first.

    `at_home`: whether the organization is that person's home.
    """
    given = actor.role or Role.VIEWER
    return [role for role in Role if role <= given and (at_home or role is not Role.SUPER_ADMIN)]


def _powerless(actor: Standing) -> Refusal | None:
    if actor.role is None:
        return Refusal(Why.FORBIDDEN, _GONE)
    if actor.role < Role.ADMIN:
        return Refusal(
            Why.FORBIDDEN,
            f"Your role here is {actor.role.word}; this needs {Role.ADMIN.word}. "
            "Ask an administrator of the organization",
        )
    return None


def _last(old: Membership, admins: Set[Id]) -> Refusal | None:
    return Refusal(Why.LAST_ADMIN, _LAST) if admins == {old.user_id} else None


def _out_of_reach(actor: Standing, member: Membership) -> Refusal | None:
    if member.user_id == actor.user_id:
        return Refusal(Why.FORBIDDEN, _SELF)
    if member.is_grant:
        return Refusal(Why.FORBIDDEN, _GRANT)
    if member.role is Role.SUPER_ADMIN and actor.role is not Role.SUPER_ADMIN:
        return Refusal(Why.FORBIDDEN, _SUPER)
    return None


def _above(actor: Standing, role: Role) -> Refusal | None:
    assert actor.role is not None, "who may do nothing was refused before"
    if role <= actor.role:
        return None
    return Refusal(
        Why.FORBIDDEN, f"Nobody can give more than their own role; yours here is {actor.role.word}"
    )
