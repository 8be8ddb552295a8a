"""House: everything the web needs, built and handed over by `app`."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from netpulse.channels import Carrier
from netpulse.config import Config
from netpulse.crypto.links import Links
from netpulse.crypto.tokens import Digester
from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.engine import Engine
from netpulse.storage.db import Database
from netpulse.storage.raw import Raw
from netpulse.web.bulk import Jobs
from netpulse.web.kept import Kept
from netpulse.web.rates import Rates
from netpulse.web.repeats import Repeats
from netpulse.web.setup_token import SetupToken
from netpulse.web.status.rack import Rack
from netpulse.web.status.shelf import Shelf
from netpulse.web.streams import Streams
from netpulse.web.tokens import Signer


class House(Struct, kw_only=True):
    """The parts of the running process."""

    config: Config
    db: Database
    raw: Raw
    engine: Engine
    egress: Egress
    carrier: Carrier
    """What channels send with."""
    links: Links
    """Makes and reads the addresses that messages carry."""
    clock: Clock
    signer: Signer
    """For access tokens."""
    digester: Digester
    """For what is stored of tokens that last: API keys, links to join or to set a password anew."""
    sign_ins: Digester
    """For what is stored of page sessions and refresh tokens, and for what lasts no longer than
    they. Without the encryption key it is another one than `digester`, which then knows nothing."""
    setup_token: SetupToken
    version: str
    rates: Rates
    """What is limited by the minute."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process begins to stop: endless streams end themselves then."""
    streams: Streams = field(default_factory=Streams)
    """Open event streams."""
    login_turns: tuple[asyncio.Lock, ...] = field(
        default_factory=lambda: tuple(asyncio.Lock() for _ in range(64))
    )
    """Sign-ins from one address take turns; an address has the lock that its hash picks."""
    shelf: Shelf = field(default_factory=Shelf)
    """Status pages as they were rendered last."""
    rack: Rack = field(default_factory=Rack)
    """What the badges of single monitors tell."""
    jobs: Jobs = field(default_factory=Jobs)
    """Changes of many rows that are under way, or were."""
    denials: Repeats = field(default_factory=Repeats)
    """Refusals that the audit log has already."""
    kept: Kept = field(default_factory=Kept)
    """Figures that take long to add up."""

    def __post_init__(self) -> None:
        """Have the shelf hear of what changes, and the news of pages of what people change."""
        self.shelf.open(self.db, self.clock, self.engine.page_news.stirred)
        self.rack.open(self.db, self.clock)
        self.engine.live.observe(self.shelf.stirred)
        self.engine.domains.observe(self.shelf.domains_edited)
