"""Who may do what to whom: every pair of roles, oneself, grants, and the last administrator."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from netpulse.model.user import Membership, Role
from netpulse.rules import members as rules
from netpulse.rules.members import Refusal, Standing, Why

ORG = "org"
ME, YOU, OTHER = "me", "you", "other"
ALL = frozenset({ME, YOU, OTHER})
VIEWER, ADMIN, SUPER = Role.VIEWER, Role.ADMIN, Role.SUPER_ADMIN

GONE = "You may do nothing in this organization any more"
LOW = "Your role here is viewer; this needs admin. Ask an administrator of the organization"
SELF = (
    "Nobody changes their own role, disables or removes themselves; ask another administrator of "
    "the organization"
)
GRANT = (
    "This person has their rights here from your provider, who alone can change them or take them "
    "back"
)
ABOVE = "Only a super administrator may change or remove a super administrator"
RAISE = "Nobody can give more than their own role; yours here is admin"
NOT_HOME = (
    "A super administrator must be at home in this organization; this person's account belongs to "
    "another one"
)
LAST = (
    "This is the last active administrator of the organization; make somebody else an "
    "administrator first"
)


def you(role: Role = VIEWER, *, is_active: bool = True, is_grant: bool = False) -> Membership:
    return Membership(user_id=YOU, org_id=ORG, role=role, is_active=is_active, is_grant=is_grant)


def words(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.message


@pytest.mark.parametrize(
    ("mine", "yours", "wanted", "said"),
    [
        (None, VIEWER, VIEWER, GONE),
        (VIEWER, VIEWER, ADMIN, LOW),
        (VIEWER, ADMIN, VIEWER, LOW),
        (ADMIN, VIEWER, ADMIN, None),
        (ADMIN, ADMIN, VIEWER, None),
        (ADMIN, VIEWER, SUPER, RAISE),
        (ADMIN, SUPER, ADMIN, ABOVE),
        (ADMIN, SUPER, SUPER, ABOVE),
        (SUPER, SUPER, VIEWER, None),
        (SUPER, ADMIN, SUPER, None),
        (SUPER, VIEWER, SUPER, None),
    ],
)
def test_roles(mine: Role | None, yours: Role, wanted: Role, said: str | None) -> None:
    actor, old = Standing(ME, mine), you(yours)
    found = rules.changing(actor, old, replace(old, role=wanted), ALL, at_home=True)
    assert words(found) == said
    assert found is None or found.why is Why.FORBIDDEN


@pytest.mark.parametrize(
    ("mine", "yours", "said"),
    [
        (None, VIEWER, GONE),
        (VIEWER, VIEWER, LOW),
        (ADMIN, VIEWER, None),
        (ADMIN, ADMIN, None),
        (ADMIN, SUPER, ABOVE),
        (SUPER, SUPER, None),
    ],
)
def test_removing_and_handling(mine: Role | None, yours: Role, said: str | None) -> None:
    assert words(rules.removing(Standing(ME, mine), you(yours), ALL)) == said
    assert words(rules.handling(Standing(ME, mine), you(yours))) == said


@pytest.mark.parametrize("role", [ADMIN, SUPER])
def test_oneself(role: Role) -> None:
    actor, old = Standing(YOU, role), you(role)
    for new in (replace(old, role=VIEWER), replace(old, is_active=False), old):
        assert words(rules.changing(actor, old, new, ALL, at_home=True)) == SELF
    assert words(rules.removing(actor, old, ALL)) == SELF
    assert words(rules.handling(actor, old)) == SELF


@pytest.mark.parametrize("mine", [ADMIN, SUPER])
def test_grants_are_the_providers(mine: Role) -> None:
    actor, old = Standing(ME, mine), you(is_grant=True)
    assert words(rules.changing(actor, old, replace(old, role=ADMIN), ALL, at_home=False)) == GRANT
    assert words(rules.removing(actor, old, ALL)) == GRANT
    assert words(rules.handling(actor, old)) == GRANT


def test_a_super_administrator_is_at_home() -> None:
    actor, old = Standing(ME, SUPER), you(ADMIN)
    new = replace(old, role=SUPER)
    assert words(rules.changing(actor, old, new, ALL, at_home=False)) == NOT_HOME
    assert rules.roles_to_give(actor, at_home=False) == [VIEWER, ADMIN]
    assert rules.roles_to_give(actor, at_home=True) == [VIEWER, ADMIN, SUPER]
    assert rules.roles_to_give(Standing(ME, ADMIN), at_home=True) == [VIEWER, ADMIN]


@pytest.mark.parametrize("actor", [Standing(ME, SUPER), Standing(ME, ADMIN), Standing(YOU, ADMIN)])
def test_the_last_administrator_stays(actor: Standing) -> None:
    """Also where the only other one who could do it is not an administrator by membership."""
    old, alone = you(ADMIN), frozenset({YOU})
    for new in (replace(old, role=VIEWER), replace(old, is_active=False)):
        found = rules.changing(actor, old, new, alone, at_home=True)
        assert found == Refusal(Why.LAST_ADMIN, LAST)
    assert rules.removing(actor, old, alone) == Refusal(Why.LAST_ADMIN, LAST)


def test_who_is_no_active_administrator_is_not_the_last() -> None:
    actor, alone = Standing(ME, SUPER), frozenset({OTHER})
    assert rules.removing(actor, you(ADMIN, is_active=False), alone) is None
    assert rules.removing(actor, you(VIEWER), alone) is None
    # Raised to super administrator, the last one stays an administrator.
    old = you(ADMIN)
    assert (
        rules.changing(actor, old, replace(old, role=SUPER), frozenset({YOU}), at_home=True) is None
    )


def test_inviting() -> None:
    assert words(rules.inviting(Standing(ME, None), VIEWER)) == GONE
    assert words(rules.inviting(Standing(ME, VIEWER), VIEWER)) == LOW
    for role in (VIEWER, ADMIN):
        assert rules.inviting(Standing(ME, ADMIN), role) is None
    assert words(rules.inviting(Standing(ME, ADMIN), SUPER)) == RAISE
