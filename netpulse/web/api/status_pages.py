"""/v1/status-pages: the five verbs, and what is judged in the transaction that stores a page."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar
from urllib.parse import urlsplit

from msgspec.structs import replace as with_changes

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.ids import Id, is_id, new_id
from netpulse.model.status_page import (
    Branding,
    Domain,
    Group,
    Logo,
    Service,
    StatusPage,
)
from netpulse.model.user import Actor
from netpulse.storage import (
    audit,
    monitors,
    page_news,
    status_page_domains,
    status_pages,
    subscribers,
)
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.api.status_page_answers import (
    StatusPageAnswer,
    StatusPageSpec,
    entered,
    logo_name,
    shown,
)
from netpulse.web.api.status_page_draft import Draft, draft_of
from netpulse.web.endpoint import ADMIN, VIEWER
from netpulse.web.errors import Problem, conflict, invalid
from netpulse.web.house import House
from netpulse.web.resource import ListQuery, Noun, verbs
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset(
    {"id", "org_id", "path", "password_set", "domain", "created_by", "created_at", "updated_at"}
    | {"version"}
)
TOKEN_BYTES = 18


class StatusPages(Noun[Draft, StatusPage, StatusPage, ListQuery]):
    """Status pages."""

    word: ClassVar[str] = "status page"
    path: ClassVar[str] = "/v1/status-pages"
    kind: ClassVar[str] = "status_page"
    refusals = (409,)
    spec: ClassVar[Any] = StatusPageSpec
    answer: ClassVar[Any] = StatusPageAnswer

    def read_spec(self, values: dict[str, Any]) -> Draft:
        """Return the draft; whose monitors they are is judged in the transaction."""
        return draft_of(reading.into(StatusPageSpec, values, ignore=READ_ONLY))

    async def prepare(self, house: House, spec: Draft) -> Draft:
        """Hash the password, and refuse a domain that is NetPulse's own."""
        if spec.domain is not None and spec.domain in own_names(house):
            why = "is where NetPulse itself is; a page needs a domain of its own"
            raise invalid([Problem("$.custom_domain", why)])
        if not spec.password:
            return spec
        return with_changes(spec, password_hash=await passwords.hash_password(spec.password))

    def get(self, conn: Conn, org_id: Id, row_id: Id) -> StatusPage | None:
        """Return one."""
        return status_pages.get(conn, org_id, row_id)

    def page(self, conn: Conn, org_id: Id, query: ListQuery) -> Page[StatusPage]:
        """Return some of them."""
        return status_pages.page(conn, org_id, offset=query.offset, limit=query.limit)

    def insert(self, deed: Deed, spec: Draft) -> StatusPage:
        """Store a new one."""
        blank = StatusPage(
            id=new_id(deed.now),
            org_id=deed.org_id,
            slug=spec.slug,
            title=spec.title,
            created_by=deed.actor.user_id,
            created_at=deed.now,
            updated_at=deed.now,
        )
        stored = status_pages.insert(deed.conn, _filled(deed, blank, spec))
        _put_logo(deed, stored, spec)
        return stored

    def replace(self, deed: Deed, old: StatusPage, spec: Draft) -> StatusPage:
        """Store another spec."""
        filled = _filled(deed, old, spec)
        stored = status_pages.replace(deed.conn, filled, expected_version=old.version, now=deed.now)
        _put_logo(deed, stored, spec)
        _settle_subscribers(deed, stored, spec)
        return stored

    def delete(self, deed: Deed, old: StatusPage) -> None:
        """Remove it; its subscribers and announcements go with it."""
        status_pages.delete(deed.conn, old)

    def show(self, house: House, session: OrgSession, row: StatusPage) -> StatusPageAnswer:
        """Return the answer about one."""
        del house, session
        return shown(row)

    def show_listed(self, house: House, session: OrgSession, row: StatusPage) -> StatusPageAnswer:
        """Return the answer in a list: the same."""
        return self.show(house, session, row)

    def record(self, row: StatusPage) -> dict[str, Any]:
        """Return what a person has set, without the password."""
        logo = row.branding.logo
        return entered(row) | {
            "password_set": row.password_hash is not None,
            "logo": None if logo is None else logo.digest,
        }

    def id_of(self, row: StatusPage) -> Id:
        """Return its id."""
        return row.id

    def version_of(self, row: StatusPage) -> int:
        """Return its version."""
        return row.version

    def changed(self, house: House, row: StatusPage) -> None:
        """Have the next reader see it."""
        house.shelf.edited(row.org_id)
        house.shelf.domains_edited()
        house.engine.domains.wake()


STATUS_PAGES = StatusPages()


def own_names(house: House) -> set[str]:
    """Return the host names under which NetPulse itself is known to be reached."""
    server = house.config.server
    return {urlsplit(server.public_url).hostname or "", server.host.lower()} - {""}


# Storing it


def _filled(deed: Deed, page: StatusPage, draft: Draft) -> StatusPage:
    """Return `page` with what `draft` says, after a look at what it names.

    Raises:
        ApiError: 400 for monitors that are not there, 409 for an address or domain that is taken.
    """
    groups = _named(deed, draft.groups)
    logo = _kept_logo(page, draft)
    status_pages.clear_way(deed.conn, draft.slug, draft.domain)
    if status_pages.slug_taken(deed.conn, draft.slug, page.id):
        raise conflict("SLUG_TAKEN", f"Another status page is at /status/{draft.slug} already")
    hashed = page.password_hash
    if draft.password is not None:
        hashed = draft.password_hash if draft.password else None
    return with_changes(
        page,
        slug=draft.slug,
        title=draft.title,
        text=draft.text,
        language=draft.language,
        branding=Branding(theme=draft.theme, colors=draft.colors, logo=logo),
        domain=_domain(deed, page, draft.domain),
        password_hash=hashed,
        is_indexed=draft.is_indexed,
        figures=draft.figures,
        takes_subscribers=draft.takes_subscribers,
        groups=groups,
    )


def _named(deed: Deed, groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Return the groups with a public name for every service."""
    wanted = [one.monitor_id for group in groups for one in group.monitors if is_id(one.monitor_id)]
    known = monitors.present(deed.conn, deed.org_id, wanted)
    reading.at_least_one(
        [
            Problem(
                f"$.groups[{number}].monitors[{place}].monitor_id",
                "there is no monitor with this id",
            )
            for number, group in enumerate(groups)
            for place, one in enumerate(group.monitors)
            if one.monitor_id not in known
        ]
    )
    names = monitors.names(deed.conn, deed.org_id, known)
    return tuple(
        Group(
            name=group.name,
            monitors=tuple(
                Service(
                    monitor_id=one.monitor_id, public_name=one.public_name or names[one.monitor_id]
                )
                for one in group.monitors
            ),
        )
        for group in groups
    )


def _kept_logo(page: StatusPage, draft: Draft) -> Logo | None:
    if draft.picture is not None:
        body = draft.picture.body
        digest = hashlib.sha256(body).hexdigest()
        return Logo(media_type=draft.picture.media_type, digest=digest, size=len(body))
    if draft.logo is None:
        return None
    there = page.branding.logo
    if there is None or draft.logo.rpartition("/")[2] != logo_name(there):
        why = "is neither a data: URL nor the address of the logo that is there"
        raise invalid([Problem("$.branding.logo", why)])
    return there


def _put_logo(deed: Deed, stored: StatusPage, draft: Draft) -> None:
    if draft.picture is not None:
        status_pages.put_logo(deed.conn, stored.id, draft.picture.body)
    elif stored.branding.logo is None:
        status_pages.put_logo(deed.conn, stored.id, None)


def _settle_subscribers(deed: Deed, stored: StatusPage, draft: Draft) -> None:
    """Do what was said of those who are told what a page tells.

    Raises:
        ApiError: 400 if a password is set and nothing was said of those who did not need it.
    """
    told, _ = subscribers.count(deed.conn, stored.id)
    if draft.password and told and draft.subscribers is None:
        why = f"keep or remove those there are ({told}): they were not asked for this password"
        raise invalid([Problem("$.subscribers", why)])
    if draft.password:
        # Who asked may ask again, behind the password.
        subscribers.end_asked(deed.conn, stored.id)
    if draft.subscribers != "remove":
        return
    subscribers.end_all(deed.conn, stored.id)
    page_news.rest(deed.conn, stored.id)
    if told:
        gone = {"subscribers": told}
        deed.note("status_page.subscribers_removed", "status_page", stored.id, before=gone)


def _domain(deed: Deed, page: StatusPage, name: str | None) -> Domain | None:
    """Return the page's domain: the one it has, or a new claim."""
    if name is None:
        return None
    if page.domain is not None and page.domain.name == name:
        return page.domain
    claim = status_page_domains.claim_of(deed.conn, name)
    if claim is not None and claim.page_id != page.id:
        if not status_page_domains.is_stale(claim.domain, deed.now):
            raise conflict("DOMAIN_TAKEN", f"Another status page has the domain {name} already")
        status_page_domains.release(deed.conn, claim.page_id)
        audit.append(
            deed.conn,
            claim.org_id,
            Actor(kind="system", label="a claim without a proof"),
            "status_page.domain_released",
            "status_page",
            claim.page_id,
            {"custom_domain": name},
            {"custom_domain": None},
            deed.now,
        )
    return Domain(name=name, token=new_token(TOKEN_BYTES), claimed_at=deed.now)


ROUTES = verbs(STATUS_PAGES, read=VIEWER, write=ADMIN)
