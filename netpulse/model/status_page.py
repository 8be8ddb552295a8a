"""A status page: what an organization shows the world of its monitors, and how it looks."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis

RECORD_PREFIX = "_netpulse."
"""The TXT record that proves a domain stands at this label below it."""
PROOF_PREFIX = "netpulse-verify="


class Theme(StrEnum):
    """Light, dark, or as the reader's system has it."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class Colors(Struct, frozen=True, kw_only=True, gc=False):
    """Colours as #rrggbb; None is the product's own."""

    accent: str | None = None
    """Of links and buttons. Its lightness is fitted to each theme, so that text stays legible."""
    header: str | None = None
    """Behind the page's name; the text on it is black or white, whichever is easier to read."""


class Logo(Struct, frozen=True, kw_only=True, gc=False):
    """A picture beside the page's name, without its bytes."""

    media_type: str
    digest: str
    """SHA-256 of its bytes, in hex: part of its address, so that browsers may keep it for ever."""
    size: int
    """Bytes."""


class Branding(Struct, frozen=True, kw_only=True):
    """How a page looks."""

    theme: Theme = Theme.AUTO
    colors: Colors = Colors()
    logo: Logo | None = None


class Figures(Struct, frozen=True, kw_only=True, gc=False):
    """Which figures a page shows beside each service."""

    uptime: bool = True
    response_times: bool = False


class Service(Struct, frozen=True, kw_only=True, gc=False):
    """A monitor under the name by which the world knows it."""

    monitor_id: Id
    public_name: str


class Group(Struct, frozen=True, kw_only=True):
    """Services under one heading."""

    name: str
    monitors: tuple[Service, ...] = ()


class Domain(Struct, frozen=True, kw_only=True, gc=False):
    """A page's own domain, and whether its owner has shown to be one of us."""

    name: str
    """ASCII, lower case."""
    token: str
    """What the TXT record must say behind PROOF_PREFIX."""
    claimed_at: Millis
    verified_at: Millis | None = None
    """From when on it leads to the page; None: not yet."""
    verified_by: str | None = None
    """dns, or admin where a super admin said so."""
    checked_at: Millis | None = None
    problem: str | None = None
    """Why the last look did not prove it."""

    @property
    def record(self) -> str:
        """Where the TXT record is looked for."""
        return RECORD_PREFIX + self.name

    @property
    def proof(self) -> str:
        """What the TXT record must say."""
        return PROOF_PREFIX + self.token


class StatusPage(Struct, frozen=True, kw_only=True):
    """A status page as it is stored."""

    id: Id
    org_id: Id
    slug: str
    """Unique on the instance."""
    title: str
    text: str = ""
    """Plain text below the title."""
    language: str | None = None
    """The code (BCP 47) of the one language it speaks; None: each reader's."""
    branding: Branding = Branding()
    domain: Domain | None = None
    password_hash: str | None = None
    """argon2id, in its PHC text form; None: everybody may read it."""
    is_indexed: bool = True
    """Whether search engines may list it."""
    figures: Figures = Figures()
    takes_subscribers: bool = True
    """Whether readers may ask to be told what it tells."""
    groups: tuple[Group, ...] = ()
    created_by: Id | None = None
    created_at: Millis
    updated_at: Millis
    version: int = 1

    @property
    def monitor_ids(self) -> tuple[Id, ...]:
        """The monitors it shows, in its order."""
        return tuple(one.monitor_id for group in self.groups for one in group.monitors)

    @property
    def public_names(self) -> dict[Id, str]:
        """What its services are called, by the monitors' ids."""
        return {one.monitor_id: one.public_name for group in self.groups for one in group.monitors}


class Announcement(Struct, frozen=True, kw_only=True):
    """Something an organization tells the readers of a page, beside incidents and maintenance."""

    id: Id
    page_id: Id
    title: str
    text: str = ""
    ends_at: Millis | None = None
    """From when on it is not shown any more; None: until it is deleted."""
    created_by: Id | None = None
    created_at: Millis
    version: int = 1
