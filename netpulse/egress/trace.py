"""How far an attempt has come, noted as it goes, so that a deadline that strikes can say where."""

from __future__ import annotations

import time

from netpulse.model.check import Timings, round_latency


class Trace:
    """The phases of one probe. Durations are milliseconds, summed over the hops of redirects;
    None where a phase was never finished.
    """

    __slots__ = (
        "_began",
        "_ended",
        "address",
        "addresses",
        "connect_ms",
        "dns_ms",
        "first_byte_ms",
        "forgiven",
        "phase",
        "port",
        "tls_ms",
    )

    def __init__(self, began: float | None = None) -> None:
        """Begin now, or at the moment `began` of `time.perf_counter`."""
        self._began = time.perf_counter() if began is None else began
        self._ended: float | None = None
        self.phase = "dns"
        """dns, connect, tls, first_byte, or a probe's own word."""
        self.address: str | None = None
        self.addresses: tuple[str, ...] = ()
        """What the last name looked up has that may be dialled, best first."""
        self.port: int | None = None
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.first_byte_ms: float | None = None
        self.forgiven = 0.0
        """Seconds in which we were busy with ourselves: they are in no total."""

    def resolved(self, milliseconds: float) -> None:
        """Note that the address is known."""
        self.dns_ms = (self.dns_ms or 0.0) + milliseconds
        self.phase = "connect"

    def connected(self, milliseconds: float) -> None:
        """Note that the connection stands."""
        self.connect_ms = (self.connect_ms or 0.0) + milliseconds
        self.phase = "first_byte"

    def shook_hands(self, milliseconds: float) -> None:
        """Note that TLS is agreed."""
        self.tls_ms = (self.tls_ms or 0.0) + milliseconds
        self.phase = "first_byte"

    def answered(self, milliseconds: float) -> None:
        """Note the first byte."""
        self.first_byte_ms = (self.first_byte_ms or 0.0) + milliseconds

    def forgive(self, seconds: float) -> None:
        """Leave out a stretch in which we were busy with ourselves."""
        self._began += seconds
        self.forgiven += seconds

    def stop(self) -> None:
        """Note that the probe has its result; what it does now is not the target's time."""
        if self._ended is None:
            self._ended = time.perf_counter()

    def timings(self) -> Timings:
        """Return everything noted, rounded for storing, with the wall time of the whole."""
        ended = time.perf_counter() if self._ended is None else self._ended
        return Timings(
            # Neither None nor nothing has to be rounded.
            dns_ms=self.dns_ms and round_latency(self.dns_ms),
            connect_ms=self.connect_ms and round_latency(self.connect_ms),
            tls_ms=self.tls_ms and round_latency(self.tls_ms),
            first_byte_ms=self.first_byte_ms and round_latency(self.first_byte_ms),
            total_ms=round_latency((ended - self._began) * 1000),
        )
