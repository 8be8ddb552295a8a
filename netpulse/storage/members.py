"""Members of an organization: who runs it, and what goes when somebody leaves."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.api_key import ApiKey
from netpulse.model.ids import Id
from netpulse.model.invitation import Invitation
from netpulse.model.time import Millis
from netpulse.model.user import Membership, Role
from netpulse.storage import api_keys, invitations, users
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing
from netpulse.storage.users import Member


class Farewell(Struct, frozen=True, kw_only=True):
    """What went with somebody who has left."""

    member: Member
    """As they were."""
    keys: list[ApiKey]
    """Revoked: the keys that they had made, here and where they came in through here; those of a
    super administrator, wherever they do not belong."""
    invitations: list[Invitation]
    """Withdrawn: the open ones that they had made, likewise."""
    grants: list[Membership]
    """Ended: their rights in the clients of this organization."""
    is_deleted: bool
    """They belonged nowhere else, so that their account is gone."""


def get(conn: Conn, org_id: Id, user_id: Id) -> Member | None:
    """Return a member of the organization, a disabled one too, or None."""
    user = users.get(conn, user_id)
    membership = users.membership(conn, user_id, org_id)
    return None if user is None or membership is None else Member(user, membership)


def by_email(conn: Conn, org_id: Id, email: str) -> Member | None:
    """Return the member of the organization with this address, or None. That somebody has an
    account elsewhere does not show."""
    user = users.by_email(conn, email)
    return None if user is None else get(conn, org_id, user.id)


def admins(conn: Conn, org_id: Id) -> frozenset[Id]:
    """Return the users who can run the organization at this moment, by a membership of it or a
    grant that is in effect."""
    rows = conn.all(
        "SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id"
        f" WHERE m.org_id = ? AND m.role <> 'viewer' AND u.is_active AND {users.IN_EFFECT}",
        (org_id,),
    )
    return frozenset(row[0] for row in rows)


def withdraw_invitations(conn: Conn, org_id: Id, user_id: Id, now: Millis) -> list[Invitation]:
    """Withdraw the open invitations that the user has made in the organization; returns them."""
    made = invitations.made_by(conn, org_id, user_id, now)
    return [invitations.delete(conn, org_id, one.id) for one in made]


def grants_through(conn: Conn, org_id: Id, user_id: Id) -> list[Membership]:
    """Return the user's rights in the clients of an organization."""
    clients = {
        row[0] for row in conn.all("SELECT id FROM organizations WHERE parent_id = ?", (org_id,))
    }
    return [
        one for one in users.memberships(conn, user_id) if one.is_grant and one.org_id in clients
    ]


def end_reach(
    conn: Conn, org_id: Id, user_id: Id, now: Millis
) -> tuple[list[ApiKey], list[Invitation]]:
    """Revoke the API keys and withdraw the open invitations that the user has made in other
    organizations than `org_id` to which they do not belong: as a super administrator, who is none
    any more. Returns them."""
    rows = conn.all(
        "SELECT org_id FROM api_keys WHERE created_by = ?1 UNION"
        " SELECT org_id FROM invitations WHERE invited_by = ?1 ORDER BY 1",
        (user_id,),
    )
    own = {one.org_id for one in users.memberships(conn, user_id)} | {org_id}
    places = [row[0] for row in rows if row[0] not in own]
    keys = [key for place in places for key in api_keys.delete_made_by(conn, place, user_id)]
    withdrawn = [one for place in places for one in withdraw_invitations(conn, place, user_id, now)]
    return keys, withdrawn


def leave(conn: Conn, org_id: Id, user_id: Id, now: Millis) -> Farewell:
    """End a membership, and what the user had made with it: API keys, open invitations, and the
    rights in clients that they had through it.

    Whose home this is moves to another organization that they belong to; who belongs to none any
    more is deleted. Audit rows about them stay.

    Raises:
        Missing: the user is no member there.
    """
    member = get(conn, org_id, user_id)
    if member is None:
        raise Missing("member")
    grants = grants_through(conn, org_id, user_id)
    places = [org_id, *(grant.org_id for grant in grants)]
    keys = [key for place in places for key in api_keys.delete_made_by(conn, place, user_id)]
    withdrawn = [one for place in places for one in withdraw_invitations(conn, place, user_id, now)]
    if member.membership.role is Role.SUPER_ADMIN:
        elsewhere = end_reach(conn, org_id, user_id, now)
        keys += elsewhere[0]
        withdrawn += elsewhere[1]
    for place in places:
        users.drop_membership(conn, user_id, place)
    homes = _homes(conn, user_id)
    if not homes:
        users.delete(conn, user_id)
    elif member.user.home_org_id not in homes:
        users.set_home(conn, user_id, homes[0], now)
    return Farewell(
        member=member, keys=keys, invitations=withdrawn, grants=grants, is_deleted=not homes
    )


def _homes(conn: Conn, user_id: Id) -> list[Id]:
    """Return where a user can be at home, the best first: where they may enter, and the longest.
    A grant is no home."""
    places = [one for one in users.memberships(conn, user_id) if not one.is_grant]
    places.sort(key=lambda one: (not one.is_active, one.created_at, one.org_id))
    return [one.org_id for one in places]
