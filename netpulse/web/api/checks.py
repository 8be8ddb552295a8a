"""What a check looks like from outside, and the list of a monitor's checks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta as Bounds
from msgspec import Struct

from netpulse.model.check import Check, Reading, Result
from netpulse.model.ids import Id, check_id
from netpulse.model.monitor import Monitor, MonitorSpec
from netpulse.model.time import MINUTE, Millis, parse_rfc3339, rfc3339
from netpulse.rules import excerpt
from netpulse.storage.raw import Raw
from netpulse.web.envelope import DEFAULT_LIMIT, MAX_LIMIT, Many, Meta
from netpulse.web.errors import Problem, invalid

Moment = Annotated[str, Bounds(max_length=50)]
"""A moment as somebody writes it: RFC 3339."""

LAST_PAGED_ROW = 10_000
"""`page` reaches as far as this; beyond, `cursor` does."""

_LATEST_START = 5 * MINUTE
"""How long after its slot a check may have begun and still be found by when it began."""


class TimingsAnswer(Struct, frozen=True, gc=False):
    """Milliseconds by phase, with at most one decimal; null where the phase was not reached."""

    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    total_ms: float | None


class CheckAnswer(Struct, frozen=True, kw_only=True):
    """One check."""

    id: Id | None
    """Computed from monitor, region and start; null for a configuration that is not stored."""
    monitor_id: Id | None
    status: Result
    """This check's own verdict: up, degraded, down, or inconclusive for causes of our own."""
    response_time_ms: int | None
    status_code: int | None
    error_message: str | None
    failure: str | None
    failure_detail: str | None
    checked_at: str
    region: str
    counted: bool
    """False for a check that somebody ran by hand."""
    timings: TimingsAnswer


class ChainAnswer(Struct, frozen=True):
    """One certificate of the chain."""

    subject: str
    issuer: str
    not_after: str


class CertificateAnswer(Struct, frozen=True, kw_only=True):
    """The certificate that the far side showed."""

    subject: str
    issuer: str
    not_before: str
    not_after: str
    fingerprint: str
    names: tuple[str, ...]
    self_signed: bool
    key: str
    """Kind and size: "RSA 2048", "EC 256"."""
    signature: str
    """The digest that its issuer signed."""
    chain: tuple[ChainAnswer, ...]
    """What the far side sent, its own first."""


class PacketsAnswer(Struct, frozen=True, kw_only=True):
    """What came of the pings; round trips in milliseconds, null where none came back."""

    sent: int
    received: int
    loss_percent: float
    min_ms: float | None
    average_ms: float | None
    max_ms: float | None
    jitter_ms: float | None
    """The mean difference between one round trip and the next; null with fewer than two."""


class BodyAnswer(Struct, frozen=True, kw_only=True):
    """The first bytes of an answer's body, at most 4,096, to be read by people."""

    text: str
    """Decoded; control and other unseen characters made visible, our own secrets blotted out."""
    shown_bytes: int
    """Bytes of the body that the text stands for."""
    total_bytes: int | None
    """Of the whole body; null where not all of it was read."""
    is_cut: bool
    """The body goes on after the text."""


class TestAnswer(CheckAnswer, frozen=True, kw_only=True):
    """What a configuration gives right now."""

    address: str | None
    """The one dialled last; of a dns test, the name server that answered."""
    addresses: tuple[str, ...]
    """All that the name has and that may be dialled, best first; of the last redirect's."""
    http_version: str | None
    tls_version: str | None
    final_url: str | None
    redirects: int
    certificate: CertificateAnswer | None
    answers: tuple[str, ...]
    """The records that a name server gave."""
    packets: PacketsAnswer | None
    body: BodyAnswer | None
    """Null where there was no answer, or none that has a body."""


class ChecksQuery(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which checks."""

    from_: Moment | None = None
    """RFC 3339; checks that began then or later."""
    to: Moment | None = None
    """RFC 3339; checks that began before."""
    status: Result | None = None
    cursor: Annotated[str, Bounds(max_length=40)] | None = None
    """`meta.next_cursor` of the page before."""
    page: Annotated[int, Bounds(ge=1, le=1_000_000)] | None = None
    limit: Annotated[int, Bounds(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT


def shown(check: Check, monitor_id: Id | None) -> CheckAnswer:
    """Return a check as the API answers it."""
    return CheckAnswer(**_fields(check, monitor_id))  # type: ignore[arg-type]  # one dict, many types


def shown_test(
    spec: MonitorSpec, check: Check, reading: Reading, *, longest: int = excerpt.LONGEST
) -> TestAnswer:
    """Return what a test of `spec` came to, with at most `longest` bytes of the body."""
    seen = reading.certificate
    body = excerpt.excerpt(spec, reading, longest)
    return TestAnswer(
        **_fields(check, None),  # type: ignore[arg-type]  # one dict, many types
        address=reading.address,
        addresses=tuple(dict.fromkeys(reading.addresses)),
        http_version=reading.http_version,
        tls_version=reading.tls_version,
        final_url=reading.final_url,
        redirects=reading.redirects,
        answers=reading.answers,
        packets=_packets(reading),
        body=None if body is None else BodyAnswer(**msgspec.structs.asdict(body)),
        certificate=None
        if seen is None
        else CertificateAnswer(
            subject=seen.subject,
            issuer=seen.issuer,
            not_before=rfc3339(seen.not_before),
            not_after=rfc3339(seen.not_after),
            fingerprint=seen.fingerprint,
            names=seen.names,
            self_signed=seen.self_signed,
            key=seen.key,
            signature=seen.signature,
            chain=tuple(
                ChainAnswer(link.subject, link.issuer, rfc3339(link.not_after))
                for link in seen.chain
            ),
        ),
    )


def _packets(reading: Reading) -> PacketsAnswer | None:
    sent, received, loss = reading.packets_sent, reading.packets_received, reading.loss_percent
    if sent is None or received is None or loss is None:
        return None
    return PacketsAnswer(
        sent=sent,
        received=received,
        loss_percent=round(loss, 1),
        min_ms=reading.rtt_min_ms,
        average_ms=reading.rtt_average_ms,
        max_ms=reading.rtt_max_ms,
        jitter_ms=reading.jitter_ms,
    )


def _fields(check: Check, monitor_id: Id | None) -> dict[str, object]:
    timings = check.timings
    return {
        "id": None if monitor_id is None else check_id(monitor_id, check.region, check.started_at),
        "monitor_id": monitor_id,
        "status": check.result,
        "response_time_ms": check.response_time_ms,
        "status_code": check.status_code,
        "error_message": check.message,
        "failure": None if check.failure is None else check.failure.value,
        "failure_detail": check.detail,
        "checked_at": rfc3339(check.started_at),
        "region": check.region,
        "counted": check.counted,
        "timings": TimingsAnswer(
            dns_ms=timings.dns_ms,
            connect_ms=timings.connect_ms,
            tls_ms=timings.tls_ms,
            first_byte_ms=timings.first_byte_ms,
            total_ms=timings.total_ms,
        ),
    }


def moment(text: str | None, path: str, problems: list[Problem]) -> Millis | None:
    """Return the moment `text` names, noting a problem at `path` where it is none."""
    if text is None:
        return None
    try:
        # A plus sign in a query string is a space.
        return parse_rfc3339(text.replace(" ", "+") if text.count(" ") == 1 else text)
    except (ValueError, OverflowError) as error:
        problems.append(Problem(path, str(error)))
        return None


async def page_of_checks(
    raw: Raw, monitor: Monitor, query: ChecksQuery, now: Millis, shown_from: Millis
) -> Many[CheckAnswer]:
    """Return one page of a monitor's checks, the newest first; none that began before
    `shown_from`."""
    problems: list[Problem] = []
    start = moment(query.from_, "?from", problems)
    end = moment(query.to, "?to", problems)
    if query.cursor is not None and query.page is not None:
        problems.append(Problem("?page", "give page or cursor, not both"))
    page = query.page or 1
    if page * query.limit > LAST_PAGED_ROW:
        problems.append(
            Problem("?page", f"page reaches row {LAST_PAGED_ROW:,}; go on with cursor from there")
        )
    before = None
    if query.cursor is not None:
        if query.cursor.isdecimal() and len(query.cursor) < 16:
            before = int(query.cursor)
        else:
            problems.append(Problem("?cursor", "this is no next_cursor of ours"))
    if problems:
        raise invalid(problems)
    first = max(start if start is not None else 0, shown_from)
    last = end if end is not None else now + 1
    wanted = page * query.limit
    found = await _began_between(raw, monitor.key, first, last, before, query.status, wanted + 1)
    rows = found[wanted - query.limit : wanted]
    more = len(found) > wanted
    meta = Meta(limit=query.limit, next_cursor=str(rows[-1].due_at) if rows and more else None)
    if query.cursor is None:
        total = await raw.size(monitor.key, first, last, result=query.status)
        meta = Meta(page=page, limit=meta.limit, next_cursor=meta.next_cursor, total=total)
    return Many.of([shown(check, monitor.id) for check in rows], meta)


async def _began_between(
    raw: Raw,
    key: int,
    start: Millis,
    end: Millis,
    before: Millis | None,
    result: Result | None,
    limit: int,
) -> list[Check]:
    """Return up to `limit` checks that began in [start, end), newest first, of those that were due
    before `before`.

    Raw results are kept by when a check was due, which is never after it began.
    """
    found: list[Check] = []
    until = end if before is None else min(end, before)
    while len(found) < limit:
        asked = limit - len(found) + 8
        batch = await raw.range(
            key, max(0, start - _LATEST_START), until, limit=asked, result=result
        )
        found += [check for check in batch if start <= check.started_at < end]
        if len(batch) < asked:
            break
        until = batch[-1].due_at
    return found[:limit]
