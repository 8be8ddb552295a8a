"""/v1/status-pages/{id}/domain: proving that a page's own domain is its owner's."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.status_page import StatusPage
from netpulse.model.user import Role
from netpulse.storage import status_page_domains, status_pages
from netpulse.storage.db import Conn
from netpulse.storage.status_page_domains import Claim
from netpulse.web import limits
from netpulse.web.api.status_page_answers import StatusPageAnswer, shown
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import conflict, not_found
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession


def _claim(conn: Conn, org_id: Id, page_id: Id) -> Claim:
    """Return the domain of the organization's page.

    Raises:
        ApiError: 404, or 409 `NO_DOMAIN` for a page without one.
    """
    page = status_pages.get(conn, org_id, page_id)
    if page is None:
        raise not_found("status page")
    if page.domain is None:
        raise conflict("NO_DOMAIN", "This status page has no domain of its own; set one first")
    return Claim(page.id, org_id, page.slug, page.domain)


async def look(house: House, session: OrgSession, page_id: Id) -> StatusPage:
    """Look for the record that proves a page's domain, now. Raises ApiError as `_claim`."""
    claim = await session.read(_claim, page_id)
    await house.engine.domains.look(claim, session.actor)
    page = await session.read(status_pages.get, page_id)
    if page is None:
        raise not_found("status page")
    return page


async def vouch(house: House, session: OrgSession, page_id: Id) -> StatusPage:
    """Take a page's domain as proved, because whoever runs NetPulse says so.

    Raises ApiError as `_claim`.
    """

    def work(deed: Deed) -> StatusPage:
        claim = _claim(deed.conn, deed.org_id, page_id)
        if claim.domain.verified_at is not None:
            deed.nothing_changed()
        else:
            after = {"custom_domain": claim.domain.name, "verified_by": "admin"}
            deed.note("status_page.domain_verified", "status_page", page_id, after=after)
        return status_page_domains.vouch(deed.conn, deed.org_id, page_id, deed.now)

    page = await session.change(work)
    house.shelf.domains_edited()
    return page


@endpoint(
    "POST",
    "/v1/status-pages/{id:str}/domain/check",
    access=ADMIN,
    tag="status-pages",
    summary="Look now for the TXT record that proves a page's domain",
    answer=StatusPageAnswer,
    errors=(404, 409),
)
async def check_domain(call: Call) -> One[StatusPageAnswer]:
    """Look for it; `domain` of the answer says what was found."""
    page_id = call.id("id", "status page")
    limits.run_counts(call)
    return One.of(shown(await look(call.house, call.session, page_id)))


@endpoint(
    "POST",
    "/v1/status-pages/{id:str}/domain/vouch",
    access=Role.SUPER_ADMIN,
    tag="status-pages",
    summary="Take a page's domain as proved, as whoever runs this NetPulse",
    answer=StatusPageAnswer,
    errors=(404, 409),
)
async def vouch_for_domain(call: Call) -> One[StatusPageAnswer]:
    """Vouch for it."""
    page = await vouch(call.house, call.session, call.id("id", "status page"))
    return One.of(shown(page))


ROUTES = (check_domain, vouch_for_domain)
