"""A gauge: one term of one rule, held against the checks of one monitor."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from netpulse.model.alert import Event, Rule
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.rules import certificates, thresholds
from netpulse.rules.terms import Term
from netpulse.rules.thresholds import Key, Sight, Standing, Streak, Turn


class Gauge:
    """Remembers what a term needs to know of the past: of a window no more than when its streak
    began, when it went on last, and how many checks it has.
    """

    __slots__ = ("bound", "rule", "said", "standing", "streaks", "term", "text")

    def __init__(self, rule: Rule, term: Term, standing: Standing | None) -> None:
        """Begin; `standing` is what is on disk."""
        self.rule = rule
        self.term = term
        self.text = term.text
        self.bound = thresholds.bound(term)
        """Of a term about the certificate alone: the days below which it is true."""
        self.streaks: tuple[Streak | None, ...] = (None,) * len(term.comparisons)
        self.standing = standing
        self.said: tuple[str, int] | None = None
        """The certificate and threshold that were told last; None after a start."""

    def turn(self, monitor_id: Id, interval_ms: int, sight: Sight, now: Millis) -> Turn | None:
        """Take a check in; return what is to be written of it, if anything.

        `interval_ms` is between two checks of the monitor.
        """
        self.streaks = tuple(
            thresholds.follow(comparison, streak, sight, interval_ms)
            if comparison.window_ms
            else None
            for comparison, streak in zip(self.term.comparisons, self.streaks, strict=True)
        )
        true = thresholds.truth(self.term, self.streaks, sight)
        if true is None:
            return None
        if self.bound is not None:
            return self._certificate(self.bound, true, monitor_id, sight, now)
        if not true:
            return self._ended(sight)
        if self.standing is None or self._speaks(now):
            standing = self._standing(monitor_id, sight, now)
            return self._turn(Event.MONITOR_THRESHOLD, thresholds.began(self.term, sight), standing)
        return None

    def take(self, written: Mapping[Key, Standing | None], turn: Turn) -> bool:
        """Remember what is on disk now; return False if this turn was not written."""
        if turn.standing.key not in written:
            return False
        self.standing = written[turn.standing.key]
        if self.standing is None:
            self.said = None
        elif turn.thresholds and self.standing.fingerprint and self.standing.speaks_at is None:
            self.said = self.standing.fingerprint, turn.thresholds[-1]
        return True

    def _certificate(
        self, bound: int, true: bool, monitor_id: Id, sight: Sight, now: Millis
    ) -> Turn | None:
        """Return what is to be told of a certificate: the next threshold, or another one."""
        seen = sight.certificate
        crossed = certificates.crossed(bound, seen, sight.at) if true and seen else ()
        if not crossed or seen is None:
            if self.standing is None:
                return None
            if seen is not None and seen.fingerprint != self.standing.fingerprint:
                return self._ended(sight, certificates.renewed(seen))
            # True still, and no threshold crossed any more: the clock was set back.
            return None if true else self._ended(sight)
        if self.standing is not None and not self._speaks(now):
            waits = self.standing.speaks_at is not None
            if waits or self.said == (seen.fingerprint, crossed[-1]):
                return None
        standing = self._standing(monitor_id, sight, now)
        return Turn(
            rule=self.rule,
            standing=replace(standing, fingerprint=seen.fingerprint),
            event=Event.CERTIFICATE_EXPIRING,
            reason=certificates.expiring(seen, sight.at),
            thresholds=crossed,
        )

    def _speaks(self, now: Millis) -> bool:
        """Tell whether it waited with its first word, and has waited long enough."""
        at = None if self.standing is None else self.standing.speaks_at
        return at is not None and at <= now

    def _standing(self, monitor_id: Id, sight: Sight, now: Millis) -> Standing:
        """Return what is to be kept of a term that is true."""
        if self.standing is not None:
            return replace(self.standing, speaks_at=None)
        since = thresholds.began_at(self.term, self.streaks, sight)
        speaks_at = None
        if self.rule.escalation_minutes:
            speaks_at = since + self.rule.escalation_minutes * MINUTE
        return Standing(
            rule_id=self.rule.id,
            monitor_id=monitor_id,
            term=self.text,
            since=since,
            speaks_at=None if speaks_at is None or speaks_at <= now else speaks_at,
        )

    def _ended(self, sight: Sight, reason: str | None = None) -> Turn | None:
        if self.standing is None:
            return None
        reason = reason or thresholds.ended(self.term, sight, self.standing.since)
        event = Event.MONITOR_THRESHOLD if self.bound is None else Event.CERTIFICATE_EXPIRING
        return replace(self._turn(event, reason, self.standing), ended=True)

    def _turn(self, event: Event, reason: str, standing: Standing) -> Turn:
        return Turn(rule=self.rule, standing=standing, event=event, reason=reason)
