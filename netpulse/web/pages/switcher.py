"""The head of every page as far as it says where one is, and where else one may go."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.user import Role
from netpulse.storage import clients, places
from netpulse.storage.db import Conn
from netpulse.storage.places import Place
from netpulse.storage.table import Page
from netpulse.web.languages import mark, say
from netpulse.web.session import OrgSession

ROLE_LABELS = {
    Role.VIEWER: mark("Viewer"),
    Role.ADMIN: mark("Administrator"),
    Role.SUPER_ADMIN: mark("Super administrator"),
}
RIGHTS = {
    Role.VIEWER: mark("viewer rights"),
    Role.ADMIN: mark("administrator rights"),
    Role.SUPER_ADMIN: mark("all rights"),
}
"""What somebody may do where they are no member, in a sentence."""

IN_MENU = 10
"""Organizations that the menu lists; where there are more it searches."""


class Around(Struct, frozen=True):
    """Where somebody may go."""

    places: Page[Place]
    """The first of the organizations that they may enter."""
    has_clients: bool
    """The one they are in has clients that they may see."""


def look(conn: Conn, org_id: Id, session: OrgSession) -> Around:
    """Return where the session's person may go."""
    has_clients = session.org.parent_id is None and clients.has_any(conn, org_id)
    if has_clients and session.role < Role.ADMIN:
        has_clients = clients.enters_any(conn, org_id, session.user.id)
    return Around(places.page(conn, session.user, limit=IN_MENU), has_clients)


def menu(session: OrgSession, around: Around) -> dict[str, Any] | None:
    """Return what the menu offers, or None where there is nowhere else to go."""
    found = around.places
    if found.total <= 1 and session.via is None:
        return None
    return {"places": [row(session, place) for place in found.rows], "total": found.total}


def row(session: OrgSession, place: Place) -> dict[str, Any]:
    """Return an organization that one may switch to, as the templates take it."""
    return {
        "id": place.org_id,
        "name": place.name,
        "role_label": say(ROLE_LABELS[place.role]),
        "provider": place.provider,
        "is_here": place.org_id == session.org_id,
    }


def visit(session: OrgSession) -> dict[str, str] | None:
    """Return whom somebody visits who is no member here, or None for who is at home."""
    if session.via is None:
        return None
    return {
        "rights": say(RIGHTS[session.role]),
        "back_id": session.via.id,
        "back_name": session.via.name,
        "back_to": "/clients" if session.via.id == session.org.parent_id else "/dashboard",
    }
