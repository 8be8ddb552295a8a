"""A monitor: what is watched and how. A tagged union; `type` decides which fields exist."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
MOST_TAGS = 50
"""Tags of one monitor."""
Pattern = Annotated[str, Meta(min_length=1, max_length=4000)]
Port = Annotated[int, Meta(ge=1, le=65535)]
HeaderName = Annotated[str, Meta(max_length=256)]
HeaderValue = Annotated[str, Meta(max_length=16_384)]
# No pattern here: one that occurs twice in a field's annotation crashes the interpreter at its exit
# with msgspec 0.22 (msgspec issue 717). `rules.monitors` reads the range.
StatusRange = Annotated[str, Meta(min_length=1, max_length=100)]
StatusCode = Annotated[int, Meta(ge=100, le=999)]


class BasicAuth(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="basic"
):
    """HTTP Basic (RFC 7617)."""

    username: Annotated[str, Meta(max_length=4096)]
    password: Annotated[str, Meta(max_length=4096)] | None = None


class BearerAuth(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"
):
    """A bearer token (RFC 6750)."""

    token: Annotated[str, Meta(max_length=16_384)] | None = None


class CommonSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="common"
):
    """What every type of monitor has. Durations are whole seconds."""

    name: Name
    target: Annotated[str, Meta(min_length=1, max_length=2048)]
    description: Text = ""
    runbook_url: Annotated[str, Meta(max_length=2048)] = ""
    group: Annotated[str, Meta(max_length=100)] = ""
    tags: Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)] = ()
    interval_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 60
    timeout_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 10
    confirmations: Annotated[int, Meta(ge=1, le=10)] = 2
    recoveries: Annotated[int, Meta(ge=1, le=10)] = 1
    retry_interval_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    """Between confirmations; null: the smaller of 10 and the interval."""
    degraded_after_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    parent_id: Annotated[str, Meta(max_length=100)] | None = None
    """A monitor that this one depends on: while that is down nobody is told of this one."""
    invert: bool = False
    """Up means down: for what must not answer."""
    is_paused: bool = False

    @property
    def retry_seconds(self) -> int:
        """Seconds between the checks that confirm a failure."""
        wanted = 10 if self.retry_interval_seconds is None else self.retry_interval_seconds
        return min(wanted, self.interval_seconds)


class HttpSpec(CommonSpec, frozen=True, kw_only=True, tag="http", weakref=True):
    """A request over http or https, whichever scheme the target has."""

    method: Annotated[str, Meta(pattern=r"^[A-Z]{1,20}$")] = "GET"
    headers: Annotated[dict[HeaderName, HeaderValue | None], Meta(max_length=50)] = {}
    body: Annotated[str, Meta(max_length=65_536)] | None = None
    expected_status: (
        StatusCode
        | StatusRange
        | Annotated[tuple[StatusCode | StatusRange, ...], Meta(max_length=100)]
    ) = "200-299"
    body_match: Pattern | None = None
    body_not_match: Pattern | None = None
    body_regex: Pattern | None = None
    json_path: Pattern | None = None
    json_value: Any = UNSET
    """Compared by JSON type with the first node of `json_path`; when absent (UNSET, not null),
    existence suffices."""
    follow_redirects: bool = True
    max_redirects: Annotated[int, Meta(ge=0, le=20)] = 10
    verify_tls: bool = True
    ca_certificate: Annotated[str, Meta(max_length=65_536)] | None = None
    client_certificate: Annotated[str, Meta(max_length=65_536)] | None = None
    client_key: Annotated[str, Meta(max_length=65_536)] | None = None
    auth: BasicAuth | BearerAuth | None = None
    ip_version: int | None = None
    alert_days_before_expiry: Annotated[int, Meta(ge=1, le=3650)] | None = None


class HttpsSpec(HttpSpec, frozen=True, kw_only=True, tag="https"):
    """A request that must be and stay https; being sent to http is a failure (`redirect`)."""


class TcpSpec(CommonSpec, frozen=True, kw_only=True, tag="tcp"):
    """A connection to host:port, with an optional line sent and text expected."""

    port: Port | None = None
    """Null where the target carries the port."""
    send: Annotated[str, Meta(max_length=65_536)] | None = None
    expect: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None
    tls: bool = False


class SslSpec(CommonSpec, frozen=True, kw_only=True, tag="ssl"):
    """The certificate and the TLS of a server: its chain, its host, its dates, its strength."""

    port: Port = 443
    server_name: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    """The host that is asked for (SNI) and that the certificate must name; null: the target's."""
    alert_days_before_expiry: Annotated[int, Meta(ge=1, le=3650)] | None = 14
    check_chain: bool = True
    """False accepts an issuer that nobody here trusts; host and dates must be right even so."""
    ca_certificate: Annotated[str, Meta(max_length=65_536)] | None = None


class PushSpec(CommonSpec, frozen=True, kw_only=True, tag="push"):
    """A job that pings: what is late, or says that it failed, is down."""

    target: Annotated[str, Meta(max_length=2048)] = ""
    """What is expected to ping, for the people who read it; nothing is dialled."""
    interval_seconds: Annotated[int, Meta(ge=10, le=31_536_000)] = 60
    """Between two pings; not looked at where `cron` is set."""
    cron: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """When a ping is due, as a crontab has it (five fields), in `timezone`."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """An IANA name."""
    grace_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 60
    """How late a ping may be, and how long a job that said it started may run."""
    confirmations: Annotated[int, Meta(ge=1, le=10)] = 1
    """A missed ping cannot be tried again: one is enough."""


class IcmpSpec(CommonSpec, frozen=True, kw_only=True, tag="icmp"):
    """Pings: how many echoes come back, and how fast."""

    packets: Annotated[int, Meta(ge=1, le=20)] = 3
    max_loss_percent: Annotated[int, Meta(ge=1, le=100)] = 100
    """Down when this much of them, or more, stays without an answer."""
    degraded_loss_percent: Annotated[int, Meta(ge=1, le=100)] = 50


RecordType = Literal["A", "AAAA", "MX", "CNAME", "TXT", "NS", "SOA", "SRV", "CAA", "PTR"]
RecordValue = Annotated[str, Meta(min_length=1, max_length=4096)]


class DnsSpec(CommonSpec, frozen=True, kw_only=True, tag="dns"):
    """The records of a name, asked of a name server at every check."""

    record_type: RecordType = "A"
    expected_value: (
        RecordValue | Annotated[tuple[RecordValue, ...], Meta(min_length=1, max_length=100)] | None
    ) = None
    """Null: any answer with records is right."""
    match: Literal["all", "any"] = "all"
    """all: the answer is exactly what is expected; any: one of its records is."""
    nameserver: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """address or address:port; null: the name servers of the system."""


MonitorSpec = HttpSpec | HttpsSpec | TcpSpec | SslSpec | PushSpec | IcmpSpec | DnsSpec
"""What a person may set. A new type is one Struct here, one probe, one entry in PROBES."""

TYPES: dict[
    str,
    type[HttpSpec]
    | type[HttpsSpec]
    | type[TcpSpec]
    | type[SslSpec]
    | type[PushSpec]
    | type[IcmpSpec]
    | type[DnsSpec],
] = {
    "http": HttpSpec,
    "https": HttpsSpec,
    "tcp": TcpSpec,
    "ssl": SslSpec,
    "push": PushSpec,
    "icmp": IcmpSpec,
    "dns": DnsSpec,
}


_WORDS: dict[type, str] = {made: word for word, made in TYPES.items()}


def type_of(spec: MonitorSpec) -> str:
    """Return the `type` word of a spec."""
    return _WORDS[type(spec)]


class Monitor(Struct, frozen=True, kw_only=True):
    """A stored monitor: its spec with the secrets opened (never log or answer one)."""

    id: Id
    key: int
    """Its number in the raw results, small and never reused."""
    org_id: Id
    spec: MonitorSpec
    created_by: Id | None = None
    created_at: Millis
    deleted_at: Millis | None = None
    version: int = 1
    source: str | None = None
    external_id: str | None = None
    managed_by: str | None = None
    damage: str | None = None
    """Set when its configuration cannot be read or its secrets do not open: what is wrong. It must
    not be checked then."""
    ping_token: str | None = None
    """Of a push monitor: what stands behind /ping/. For administrators only; never log it."""
