"""Refused requests as rows of the audit log: who was refused what, when, from where.

A request is a denial when we know who asks and answer 403: too low a role, a key without the
scope, an organization they are not in, an address that the account does not allow. What nobody
signed is no denial, nor is the 404 of what belongs to somebody else.

The log only grows, so that a program that asks again every second must not fill it: the same
refusal of the same person is written once in `repeats.QUIET_SECONDS`, and its next row says how
many were left out. Each is a line of the process log all the same. (OWASP ASVS 5.0, 16.3.2.)
"""

from __future__ import annotations

import logging

from litestar.types import Scope
from msgspec import Struct

from netpulse.crypto.vault import SealBroken
from netpulse.model.ids import Id
from netpulse.model.user import Actor
from netpulse.storage import audit
from netpulse.storage.db import Conn
from netpulse.storage.errors import StorageTrouble
from netpulse.web.errors import ApiError
from netpulse.web.failures import without_token
from netpulse.web.house import House
from netpulse.web.proxies import bucket

log = logging.getLogger(__name__)

ACTION = "access.refused"
PATH_CHARS = 300

_BY = "asker"
"""Where the request's state has who is refused, once that is known."""


class Asker(Struct, frozen=True):
    """Who asks, and whose audit log tells of it."""

    org_id: Id
    actor: Actor


def name_asker(scope: Scope, org_id: Id, actor: Actor) -> None:
    """Say who asks; what is refused from now on is refused to them."""
    scope["state"][_BY] = Asker(org_id, actor)


async def note(error: Exception, scope: Scope) -> None:
    """Write down what was refused: Litestar's hook after every exception.

    Without room for the row the answer stays a refusal; the process log has it.
    """
    asker: Asker | None = scope["state"].get(_BY)
    if asker is None or not isinstance(error, ApiError) or error.status != 403:
        return
    house: House = scope["litestar_app"].state.house
    actor, method = asker.actor, str(scope.get("method", ""))
    path = without_token(scope["path"])[:PATH_CHARS]
    where = {"org_id": asker.org_id, "user_id": actor.user_id, "method": method, "path": path}
    log.warning("refused: %s", error.message, extra={**where, "ip": actor.ip})
    # By the route, not the path: ids that are tried one after the other are one refusal. By the
    # network, not the address: of IPv6 everybody has as many as they like.
    route = scope.get("path_template", path)
    network = bucket(actor.ip or "")
    name = (asker.org_id, actor.kind, actor.label, network, method, route, error.message)
    left_out = house.denials.left_out(name, house.clock.monotonic())
    if left_out is None:
        return
    told = {"method": method, "path": path, "reason": error.message, "left_out": left_out}
    now = house.clock.now()

    def write(conn: Conn) -> None:
        audit.append(conn, asker.org_id, actor, ACTION, "route", None, None, told, now)

    try:
        await house.db.write(write)
    except (StorageTrouble, SealBroken):
        log.exception("a refused request is not in the audit log", extra=where)
