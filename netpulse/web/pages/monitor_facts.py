"""What a monitor checks, in words: the facts on its page."""

from __future__ import annotations

from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.web.figures import duration
from netpulse.web.languages import plural, say


def facts(spec: MonitorSpec) -> list[dict[str, str]]:
    """Return what is checked, in words."""
    if isinstance(spec, PushSpec):
        return _push_facts(spec)
    in_a_row = plural(spec.confirmations, "%(num)s failed check", "%(num)s failed checks in a row")
    if spec.confirmations > 1:
        apart = say("%(seconds)s s apart", seconds=spec.retry_seconds)
        in_a_row = f"{in_a_row}, {apart}"
    good = plural(spec.recoveries, "%(num)s good check", "%(num)s good checks in a row")
    found = [
        (say("Every"), f"{spec.interval_seconds} s"),
        (say("Gives up after"), f"{spec.timeout_seconds} s"),
        (say("Down after"), in_a_row),
        (say("Up after"), good),
    ]
    if spec.degraded_after_ms is not None:
        found.append(
            (
                say("Degraded when"),
                say("slower than %(ms)s ms", ms=spec.degraded_after_ms),
            )
        )
    if isinstance(spec, HttpSpec):
        found += _http_facts(spec)
    elif isinstance(spec, TcpSpec):
        found.append((say("Connects"), say("with TLS") if spec.tls else say("without TLS")))
        if spec.expect:
            found.append((say("Expects"), say("“%(expect)s” in the answer", expect=spec.expect)))
    elif isinstance(spec, SslSpec):
        found += _ssl_facts(spec)
    elif isinstance(spec, IcmpSpec):
        found.append((say("Pings"), str(spec.packets)))
        found.append(
            (
                say("Loss"),
                say("down at %(percent)s%%", percent=spec.max_loss_percent),
            )
        )
        if spec.degraded_loss_percent < spec.max_loss_percent:
            found[-1] = (
                say("Loss"),
                say(
                    "degraded at %(percent)s%%, %(worse)s",
                    percent=spec.degraded_loss_percent,
                    worse=found[-1][1],
                ),
            )
    elif isinstance(spec, DnsSpec):
        found += _dns_facts(spec)
    if spec.invert:
        found.append((say("Inverted"), say("up means that it does not answer")))
    return [{"label": label, "value": value} for label, value in found]


def _push_facts(spec: PushSpec) -> list[dict[str, str]]:
    missed = plural(
        spec.confirmations, "%(num)s missed or failed", "%(num)s missed or failed in a row"
    )
    found = [
        (say("A ping"), say("every %(duration)s", duration=duration(spec.interval_seconds))),
        (say("Grace"), duration(spec.grace_seconds)),
        (
            say("Down after"),
            missed,
        ),
    ]
    if spec.cron is not None:
        found[0] = (
            say("A ping"),
            say("at %(cron)s (%(zone)s)", cron=spec.cron, zone=spec.timezone),
        )
    if spec.degraded_after_ms is not None:
        found.append(
            (
                say("Degraded when"),
                say("the job takes more than %(ms)s ms", ms=spec.degraded_after_ms),
            )
        )
    if spec.invert:
        found.append((say("Inverted"), say("up means that no ping comes")))
    return [{"label": label, "value": value} for label, value in found]


def _ssl_facts(spec: SslSpec) -> list[tuple[str, str]]:
    found = [(say("Port"), str(spec.port))]
    if spec.server_name is not None:
        found.append((say("Asks for"), spec.server_name))
    if not spec.check_chain:
        found.append((say("Issuer"), say("not verified")))
    found += _expiry_facts(spec.alert_days_before_expiry)
    return found


def _dns_facts(spec: DnsSpec) -> list[tuple[str, str]]:
    found = [
        (say("Record"), spec.record_type),
        (say("Asks"), spec.nameserver or say("the name servers of this system")),
    ]
    wanted = spec.expected_value
    if wanted is not None:
        listed = (wanted,) if isinstance(wanted, str) else wanted
        records = ", ".join(listed)
        if spec.match == "any" and len(listed) > 1:
            records = say("any of %(records)s", records=records)
        found.append((say("Expects"), records))
    return found


def _http_facts(spec: HttpSpec) -> list[tuple[str, str]]:
    follows = say("redirects followed") if spec.follow_redirects else say("redirects not followed")
    wanted = spec.expected_status
    listed = wanted if isinstance(wanted, tuple) else (wanted,)
    expects = [say("status %(codes)s", codes=", ".join(str(one) for one in listed))]
    if spec.body_match:
        expects.append(say("body contains “%(text)s”", text=spec.body_match))
    if spec.body_not_match:
        expects.append(say("body does not contain “%(text)s”", text=spec.body_not_match))
    if spec.body_regex:
        expects.append(say("body matches %(text)s", text=spec.body_regex))
    if spec.json_path:
        expects.append(say("JSON has %(path)s", path=spec.json_path))
    found = [(say("Request"), f"{spec.method}, {follows}"), (say("Expects"), "; ".join(expects))]
    if not spec.verify_tls:
        found.append((say("Certificate"), say("not verified")))
    found += _expiry_facts(spec.alert_days_before_expiry)
    return found


def _expiry_facts(days: int | None) -> list[tuple[str, str]]:
    if days is None:
        return []
    left = plural(days, "degraded under %(num)s day", "degraded under %(num)s days")
    return [(say("Certificate"), left)]
