"""Proving domains: whether the TXT record of a status page's own domain says what it should.

Asked of this host's own name servers, each time anew, as dns monitors ask: a cached "there is none"
must not outlive the record that somebody has just made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.rounds import Rounds
from netpulse.model.check import OWN_FAILURES, Reading
from netpulse.model.monitor import DnsSpec
from netpulse.model.time import SECOND, Millis
from netpulse.model.user import Actor
from netpulse.probes import dns
from netpulse.rules import status_pages as rules
from netpulse.storage import audit, status_page_domains
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.status_page_domains import Claim

log = logging.getLogger(__name__)

ASK_SECONDS = 8.0
"""For one look, with all that the name servers need."""
AT_ONCE = 10
LONGEST_SECONDS = 30.0
"""The longest it sleeps without a look at the clock on the wall, which may have been set."""
DNS = Actor(kind="system", label="dns")


class Domains:
    """Runs as a task; `wake()` makes it look at what is due. Tests call `turn` instead."""

    def __init__(self, *, db: Database, egress: Egress, clock: Clock) -> None:
        """Take the parts."""
        self._db = db
        self._egress = egress
        self._clock = clock
        self._rounds = Rounds(self.turn, name="domains", longest_seconds=LONGEST_SECONDS)
        self._observers: list[Callable[[], None]] = []

    def observe(self, observer: Callable[[], None]) -> None:
        """Have `observer` called when a domain was proved. It must return at once."""
        self._observers.append(observer)

    def wake(self) -> None:
        """Look at once: there may be a new claim."""
        self._rounds.wake()

    async def start(self) -> None:
        """Begin."""
        self._rounds.start()

    async def stop(self) -> None:
        """Look at no more domains; what is due is looked at after the next start."""
        await self._rounds.stop()

    async def turn(self) -> float | None:
        """Look at the claims that are due; return the seconds until the next, None: there is none.

        Raises:
            StorageTrouble: the main file cannot be read or written.
        """
        due = await self._db.read(status_page_domains.claims_due, self._clock.now(), AT_ONCE)
        await asyncio.gather(*(self.look(claim) for claim in due))
        if len(due) == AT_ONCE:
            return 0.0
        at = await self._db.read(status_page_domains.next_claim)
        return None if at is None else max(0.0, (at - self._clock.now()) / SECOND)

    async def look(self, claim: Claim, actor: Actor = DNS) -> str | None:
        """Look for the proof of a claim, and note what was found; return what is wrong, or None.

        `actor` is who has it looked for, for the audit log.
        """
        problem = await self._problem(claim)
        now = self._clock.now()
        if await self._db.write(_note, claim, problem, actor, now):
            log.info("the domain %s is proved", claim.domain.name, extra={"page_id": claim.page_id})
            for observer in self._observers:
                observer()
        return problem

    async def _problem(self, claim: Claim) -> str | None:
        spec = DnsSpec(name="proof", target=claim.domain.record, record_type="TXT")
        deadline = asyncio.get_running_loop().time() + ASK_SECONDS
        try:
            reading = await dns.probe(spec, deadline, self._egress)
        except Exception:
            # A mistake of ours: this claim waits, the others do not.
            log.exception("a domain could not be looked at", extra={"page_id": claim.page_id})
            return "the look broke; this is a mistake in NetPulse, which its log tells of"
        return _judged(reading, claim)


def _judged(reading: Reading, claim: Claim) -> str | None:
    """Return what is wrong with the proof, in words a person can act on, or None."""
    domain = claim.domain
    if domain.proof in reading.answers:
        return None
    if reading.failure in OWN_FAILURES:
        return reading.error or "no name server answers this host"
    if reading.answers:
        said = ", ".join(f"“{rules.excerpt(text)}”" for text in reading.answers[:3])
        return f"the TXT record of {domain.record} says {said}, not what it should"
    return reading.error or f"{domain.record} has no TXT record"


def _note(conn: Conn, claim: Claim, problem: str | None, actor: Actor, now: Millis) -> bool:
    """Write down what a look found; tell whether it proved a domain that was not proved yet."""
    again_at = None if problem is None else rules.look_again(claim.domain.claimed_at, now)
    if not status_page_domains.looked(conn, claim, problem, now, again_at):
        return False
    if problem is not None or claim.domain.verified_at is not None:
        return False
    audit.append(
        conn,
        claim.org_id,
        actor,
        "status_page.domain_verified",
        "status_page",
        claim.page_id,
        None,
        {"custom_domain": claim.domain.name, "verified_by": "dns"},
        now,
    )
    return True
