"""Our own TLS: the pair in force, and whether its files hold another one by now."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from netpulse.config import Server
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.web import certificate
from netpulse.web.certificate import SOON_DAYS, Pair, Unusable

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the files are looked at."""

_Stamp = tuple[int, int, int] | None


class Tls:
    """What TLS is served with."""

    def __init__(self, certificate_path: Path, key_path: Path, minimum: str) -> None:
        """Read the pair in two PEM files; `minimum` is the oldest version that is spoken.

        Raises:
            Unusable: it cannot be served; the text is one line.
        """
        self._paths = (certificate_path, key_path)
        self.minimum = minimum
        self._stamps = self._looked()
        self.pair = certificate.read(*self._paths)
        self.again = asyncio.Event()
        """Set when the files are to be read whatever they look like from outside."""
        self._mentioned_at: Millis | None = None

    @classmethod
    def of(cls, server: Server) -> Tls | None:
        """Return what the configuration says, or None where there is no certificate in it.

        Raises:
            Unusable: the pair cannot be served; the text is one line that names the setting.
        """
        if not server.tls_certificate:
            return None
        try:
            return cls(Path(server.tls_certificate), Path(server.tls_key), server.tls_minimum)
        except Unusable as problem:
            raise Unusable(f"cannot serve TLS: {problem}") from None

    def changed(self, now: Millis) -> Pair | None:
        """Return the pair that the files hold, if it is another one and can be served from now on.

        One that cannot is mentioned in the log, once, and the pair in force stays. It is for the
        caller to serve the new one, and to make it `pair` then.
        """
        forced, stamps = self.again.is_set(), self._looked()
        self.again.clear()
        if stamps == self._stamps and not forced:
            return None
        self._stamps = stamps
        try:
            pair = certificate.read(*self._paths)
        except Unusable as unusable:
            self.complain(str(unusable))
            return None
        if pair.source == self.pair.source:
            return None
        problem = certificate.date_problem(pair, now)
        if problem is not None:
            self.complain(problem)
            return None
        return pair

    def complain(self, problem: str) -> None:
        """Say in the log why the pair in force stays."""
        log.error(
            "the certificate was changed and cannot be served, the old one stays: %s", problem
        )

    def mention(self, now: Millis) -> None:
        """Say in the log that the certificate ends soon, or has ended; once a day."""
        if self._mentioned_at is not None and now - self._mentioned_at < DAY:
            return
        problem = certificate.date_problem(self.pair, now)
        if problem is not None:
            log.warning("browsers refuse to come in: %s", problem)
        elif self.pair.not_after - now < SOON_DAYS * DAY:
            log.warning("the certificate expires on %s; renew it", rfc3339(self.pair.not_after))
        else:
            return
        self._mentioned_at = now

    def _looked(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> _Stamp:
    """Return what tells from outside that a file, or what a link leads to, is another one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
