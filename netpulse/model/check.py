"""A check: what a probe measured (Reading), what was made of it (Verdict), and both together."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.time import Millis

LOCAL = "local"
"""The region of checks made by this process."""


class Result(StrEnum):
    """The verdict of one check on its own."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    INCONCLUSIVE = "inconclusive"


class Failure(StrEnum):
    """Why a check is not up: a closed list that scripts may rely on."""

    TIMEOUT = "timeout"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    CLOSED = "closed"
    TLS_EXPIRED = "tls_expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_HOSTNAME = "tls_hostname"
    TLS_WEAK = "tls_weak"
    TLS_HANDSHAKE = "tls_handshake"
    REDIRECT = "redirect"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    STATUS = "status"
    BODY = "body"
    LOSS = "loss"
    MISMATCH = "mismatch"
    BLOCKED = "blocked"
    MISSED = "missed"
    # Our own trouble: never a word about the target.
    INTERNAL = "internal"
    OWN_LAG = "own_lag"
    OWN_NETWORK = "own_network"
    OWN_LIMIT = "own_limit"
    OWN_PERMISSION = "own_permission"


OWN_FAILURES = frozenset(
    {
        Failure.INTERNAL,
        Failure.OWN_LAG,
        Failure.OWN_NETWORK,
        Failure.OWN_LIMIT,
        Failure.OWN_PERMISSION,
    }
)
"""The failures that make a check inconclusive: causes of our own."""


class Timings(Struct, frozen=True, gc=False):
    """How long each phase took, in milliseconds; null where the phase was not reached.

    Rounded when measured: 0.1 ms below 100 ms, 1 ms below 1 s, 10 ms above, so that packing
    loses nothing.
    """

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None


class ChainLink(Struct, frozen=True, gc=False):
    """One certificate of the chain as the far side sent it."""

    subject: str
    issuer: str
    not_after: Millis


class Certificate(Struct, frozen=True, gc=False):
    """What the far side's certificate says; moments in Unix milliseconds."""

    subject: str
    issuer: str
    not_before: Millis
    not_after: Millis
    fingerprint: str
    """SHA-256 of the DER form, lower-case hex."""
    names: tuple[str, ...] = ()
    self_signed: bool = False
    key: str = ""
    """Its kind and size: "RSA 2048", "EC 256"."""
    signature: str = ""
    """The digest that its issuer signed: "sha256"."""
    chain: tuple[ChainLink, ...] = ()
    """What came with it, itself first; empty where it was not looked at."""


class Reading(Struct, frozen=True, kw_only=True):
    """What a probe measured. It never judges: a wrong status code is a number here.

    `failure` is set by the probe only for what prevented an answer (refused, timeout, tls_…, or
    a cause of our own); what the answer is worth is decided in `rules.verdict`. `detail` refines
    `failure` (nxdomain, self_signed, the phase of a timeout); `error` is a sentence a person can
    act on and always set with `failure`.
    """

    timings: Timings = Timings()
    own_ms: float = 0.0
    """How long, in milliseconds, the check waited for us: what had come lay there while others had
    their turn. It is not in the total."""
    long: bool = False
    """There was so much to read that its pieces had to wait for their turn among others."""
    failure: Failure | None = None
    detail: str | None = None
    error: str | None = None
    address: str | None = None
    """The address that was dialled last, without the port; of a dns check, the name server that
    answered."""
    addresses: tuple[str, ...] = ()
    """All that the name has and that may be dialled, best first; of the last hop of redirects."""
    status_code: int | None = None
    http_version: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    """The first bytes, decoded from their content encoding; at most 1 MiB, and with `failure` no
    more than an excerpt needs."""
    body_complete: bool = True
    """False where the body was longer than what was read, or broke off."""
    charset: str | None = None
    final_url: str | None = None
    redirects: int = 0
    certificate: Certificate | None = None
    tls_version: str | None = None
    answers: tuple[str, ...] = ()
    """DNS answers, in their order."""
    packets_sent: int | None = None
    packets_received: int | None = None
    rtt_min_ms: float | None = None
    """Round trips of the echoes that came back; their average is `timings.total_ms`."""
    rtt_average_ms: float | None = None
    rtt_max_ms: float | None = None
    jitter_ms: float | None = None
    """The mean difference between one round trip and the next; null with fewer than two."""
    exit_status: int | None = None
    """Of a push monitor's job."""

    @property
    def loss_percent(self) -> float | None:
        """How many of the echo requests stayed without an answer, in percent."""
        if not self.packets_sent or self.packets_received is None:
            return None
        return 100 * (self.packets_sent - self.packets_received) / self.packets_sent


class Verdict(Struct, frozen=True, gc=False):
    """What one reading means: pure, without regard to the past."""

    result: Result
    failure: Failure | None = None
    detail: str | None = None
    message: str | None = None
    """A sentence a person can act on; null when up."""


class Check(Struct, frozen=True, kw_only=True, gc=False):
    """One finished check, as it is stored and shown."""

    due_at: Millis
    """The slot of the grid it ran for; with monitor and region it is the key of its row."""
    started_at: Millis
    result: Result
    response_time_ms: int | None = None
    """Milliseconds; null without an answer."""
    status_code: int | None = None
    failure: Failure | None = None
    detail: str | None = None
    message: str | None = None
    timings: Timings = Timings()
    region: str = LOCAL
    counted: bool = True
    """False for a check somebody ran by hand: it confirms nothing and is in no figure."""

    @property
    def conclusive(self) -> bool:
        """Tell whether this check says anything about the target."""
        return self.result is not Result.INCONCLUSIVE


def round_latency(milliseconds: float) -> float:
    """Round a latency in milliseconds: 0.1 below 100 ms, 1 below 1 s, 10 above."""
    if milliseconds < 100:
        return round(milliseconds * 10) / 10  # a fifth of what round(…, 1) takes
    if milliseconds < 1000:
        return float(round(milliseconds))
    return float(round(milliseconds / 10) * 10)
