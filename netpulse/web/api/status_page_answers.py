"""What a status page looks like from outside: what is sent, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.status_page import Domain, Logo, StatusPage, Theme
from netpulse.model.time import Millis, rfc3339
from netpulse.rules import status_pages as rules

_DIGITS = 16
"""Of a logo's digest, in its address."""

_Color = Annotated[str, Meta(max_length=20)]


class ColorsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Colours, each #rrggbb or null for the product's own."""

    accent: _Color | None = None
    """Of links and buttons; its lightness is fitted, so that text stays legible in each theme."""
    header: _Color | None = None
    """Behind the title."""


class BrandingSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a page looks."""

    logo: Annotated[str, Meta(max_length=400_000)] | None = None
    """A picture as `data:image/png;base64,…` (PNG, JPEG, GIF or WebP, at most 256 KiB); its
    address as it is answered keeps the one that is there; null: none."""
    colors: ColorsSpec = ColorsSpec()
    theme: Theme = Theme.AUTO
    """What readers see who have not chosen: auto follows their system."""


class FiguresSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is shown beside each service."""

    uptime: bool = True
    """90 days as a bar and in percent."""
    response_times: bool = False
    """The mean of the last 24 hours."""


class ServiceSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A monitor, and the name by which readers know it."""

    monitor_id: Annotated[str, Meta(max_length=100)]
    public_name: Annotated[str, Meta(max_length=200)] = ""
    """Empty: the monitor's name."""


class GroupSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Services under one heading."""

    name: Annotated[str, Meta(max_length=200)] = ""
    monitors: Annotated[list[ServiceSpec], Meta(max_length=rules.MOST_SERVICES)] = []


class StatusPageSpec(Struct, frozen=True, kw_only=True):
    """A page for the world."""

    slug: Annotated[str, Meta(max_length=100)]
    """Where it is: /status/<slug>. 2 to 64 of a-z, 0-9 and -; unique on the instance."""
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(max_length=5000)] = ""
    """Plain text below the title."""
    language: Annotated[str, Meta(max_length=20)] | None = None
    """The one language that it speaks to everybody, en or de; null: each reader's."""
    branding: BrandingSpec = BrandingSpec()
    custom_domain: Annotated[str, Meta(max_length=300)] | None = None
    """A domain of your own that leads to the page; see `domain` for how it is proved."""
    password: Annotated[str, Meta(max_length=2000)] | None = None
    """Write-only: null keeps what is stored, "" removes it."""
    is_indexed: bool = True
    """Whether search engines may list it."""
    figures: FiguresSpec = FiguresSpec()
    takes_subscribers: bool = True
    """Whether readers may ask to be told what it tells; those who have asked stay subscribed."""
    subscribers: Literal["keep", "remove"] | None = None
    """Write-only: what becomes of those there are. It must be said when a password is set, for they
    did not need it; remove does so without one, too."""
    groups: Annotated[list[GroupSpec], Meta(max_length=rules.MOST_GROUPS)] = []


class BrandingAnswer(Struct, frozen=True, kw_only=True):
    """How a page looks."""

    logo: str | None
    """Where it is, below this server's address."""
    colors: ColorsSpec
    theme: Theme


class DomainAnswer(Struct, frozen=True, kw_only=True):
    """A page's own domain, and how it is proved."""

    name: str
    is_active: bool
    """Whether it leads to the page."""
    record: str
    """Where a TXT record is looked for …"""
    value: str
    """… that says this."""
    verified_at: str | None
    verified_by: str | None
    """dns, or admin where a super admin said so."""
    checked_at: str | None
    problem: str | None
    """Why the last look did not prove it."""


class StatusPageAnswer(Struct, frozen=True, kw_only=True):
    """A status page."""

    id: Id
    org_id: Id
    slug: str
    path: str
    """Where it is, below this server's address."""
    title: str
    text: str
    language: str | None
    branding: BrandingAnswer
    custom_domain: str | None
    domain: DomainAnswer | None
    password: None = None
    password_set: bool
    is_indexed: bool
    figures: FiguresSpec
    takes_subscribers: bool
    groups: list[GroupSpec]
    created_by: Id | None
    created_at: str
    updated_at: str
    version: int


def logo_name(logo: Logo) -> str:
    """Return the last part of a logo's address."""
    return logo.digest[:_DIGITS]


def logo_path(page: StatusPage) -> str | None:
    """Return where a page's logo is, below the page's own address."""
    logo = page.branding.logo
    return None if logo is None else f"/logo/{logo_name(logo)}"


def page_path(page: StatusPage) -> str:
    """Return where a page is, below this server's address."""
    return f"/status/{page.slug}"


def entered(page: StatusPage) -> dict[str, Any]:
    """Return the fields that a person sets, but for the password and the logo's bytes."""
    path = logo_path(page)
    return {
        "slug": page.slug,
        "title": page.title,
        "text": page.text,
        "language": page.language,
        "branding": BrandingAnswer(
            logo=None if path is None else page_path(page) + path,
            colors=ColorsSpec(
                accent=page.branding.colors.accent, header=page.branding.colors.header
            ),
            theme=page.branding.theme,
        ),
        "custom_domain": None if page.domain is None else page.domain.name,
        "is_indexed": page.is_indexed,
        "figures": FiguresSpec(
            uptime=page.figures.uptime, response_times=page.figures.response_times
        ),
        "takes_subscribers": page.takes_subscribers,
        "groups": [
            GroupSpec(
                name=group.name,
                monitors=[
                    ServiceSpec(monitor_id=one.monitor_id, public_name=one.public_name)
                    for one in group.monitors
                ],
            )
            for group in page.groups
        ],
    }


def shown(page: StatusPage) -> StatusPageAnswer:
    """Return a page as the API answers it."""
    return StatusPageAnswer(
        **entered(page),
        id=page.id,
        org_id=page.org_id,
        path=page_path(page),
        domain=None if page.domain is None else shown_domain(page.domain),
        password_set=page.password_hash is not None,
        created_by=page.created_by,
        created_at=rfc3339(page.created_at),
        updated_at=rfc3339(page.updated_at),
        version=page.version,
    )


def shown_domain(domain: Domain) -> DomainAnswer:
    """Return a domain as the API answers it."""
    return DomainAnswer(
        name=domain.name,
        is_active=domain.verified_at is not None,
        record=domain.record,
        value=domain.proof,
        verified_at=_moment(domain.verified_at),
        verified_by=domain.verified_by,
        checked_at=_moment(domain.checked_at),
        problem=domain.problem,
    )


def _moment(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)
