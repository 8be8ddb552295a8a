"""A monitor: what is watched and how. A tagged union; `type` decides which fields exist."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Pattern = Annotated[str, Meta(min_length=1, max_length=4000)]
Port = Annotated[int, Meta(ge=1, le=65535)]
# No pattern here: one that occurs twice in a field's annotation crashes the interpreter at its exit
# with msgspec 0.22 (msgspec issue 717). `rules.monitors` reads the range.
StatusRange = Annotated[str, Meta(min_length=3, max_length=7)]
StatusCode = Annotated[int, Meta(ge=100, le=999)]


class BasicAuth(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="basic"
):
    """HTTP Basic (RFC 7617)."""

    username: str
    password: str | None = None


class BearerAuth(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"
):
    """A bearer token (RFC 6750)."""

    token: str | None = None


class CommonSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="common"
):
    """What every type of monitor has. Durations are whole seconds."""

    name: Name
    target: Annotated[str, Meta(min_length=1, max_length=2048)]
    description: Text = ""
    runbook_url: Annotated[str, Meta(max_length=2048)] = ""
    group: Annotated[str, Meta(max_length=100)] = ""
    tags: Annotated[tuple[Tag, ...], Meta(max_length=50)] = ()
    interval_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 60
    timeout_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 10
    confirmations: Annotated[int, Meta(ge=1, le=10)] = 2
    recoveries: Annotated[int, Meta(ge=1, le=10)] = 1
    retry_interval_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    """Between confirmations; null: the smaller of 10 and the interval."""
    degraded_after_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    invert: bool = False
    """Up means down: for what must not answer."""
    is_paused: bool = False

    @property
    def retry_seconds(self) -> int:
        """Seconds between the checks that confirm a failure."""
        wanted = 10 if self.retry_interval_seconds is None else self.retry_interval_seconds
        return min(wanted, self.interval_seconds)


class HttpSpec(CommonSpec, frozen=True, kw_only=True, tag="http"):
    """A request over http or https, whichever scheme the target has."""

    method: Annotated[str, Meta(pattern=r"^[A-Z]{1,20}$")] = "GET"
    headers: Annotated[dict[str, str | None], Meta(max_length=50)] = {}
    body: Annotated[str, Meta(max_length=65_536)] | None = None
    expected_status: StatusCode | StatusRange | tuple[StatusCode | StatusRange, ...] = "200-299"
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


MonitorSpec = HttpSpec | HttpsSpec | TcpSpec
"""What a person may set. A new type is one Struct here, one probe, one entry in PROBES."""

TYPES: dict[str, type[HttpSpec] | type[HttpsSpec] | type[TcpSpec]] = {
    "http": HttpSpec,
    "https": HttpsSpec,
    "tcp": TcpSpec,
}


def type_of(spec: MonitorSpec) -> str:
    """Return the `type` word of a spec."""
    tag = spec.__struct_config__.tag
    return str(tag)


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
    """Set when its secrets do not open: what is wrong. It must not be checked without them."""
