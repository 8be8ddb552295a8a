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


def facts(spec: MonitorSpec) -> list[dict[str, str]]:
    """Return what is checked, in words."""
    if isinstance(spec, PushSpec):
        return _push_facts(spec)
    in_a_row = f"{spec.confirmations} failed check{'' if spec.confirmations == 1 else 's in a row'}"
    if spec.confirmations > 1:
        in_a_row += f", {spec.retry_seconds} s apart"
    good = f"{spec.recoveries} good check{'' if spec.recoveries == 1 else 's in a row'}"
    found = [
        ("Every", f"{spec.interval_seconds} s"),
        ("Gives up after", f"{spec.timeout_seconds} s"),
        ("Down after", in_a_row),
        ("Up after", good),
    ]
    if spec.degraded_after_ms is not None:
        found.append(("Degraded when", f"slower than {spec.degraded_after_ms} ms"))
    if isinstance(spec, HttpSpec):
        found += _http_facts(spec)
    elif isinstance(spec, TcpSpec):
        found.append(("Connects", "with TLS" if spec.tls else "without TLS"))
        if spec.expect:
            found.append(("Expects", f"“{spec.expect}” in the answer"))
    elif isinstance(spec, SslSpec):
        found += _ssl_facts(spec)
    elif isinstance(spec, IcmpSpec):
        found.append(("Pings", str(spec.packets)))
        found.append(("Loss", f"down at {spec.max_loss_percent}%"))
        if spec.degraded_loss_percent < spec.max_loss_percent:
            found[-1] = ("Loss", f"degraded at {spec.degraded_loss_percent}%, {found[-1][1]}")
    elif isinstance(spec, DnsSpec):
        found += _dns_facts(spec)
    if spec.invert:
        found.append(("Inverted", "up means that it does not answer"))
    return [{"label": label, "value": value} for label, value in found]


def _push_facts(spec: PushSpec) -> list[dict[str, str]]:
    missed = f"{spec.confirmations} missed or failed"
    found = [
        ("A ping", f"every {duration(spec.interval_seconds)}"),
        ("Grace", duration(spec.grace_seconds)),
        ("Down after", missed if spec.confirmations == 1 else f"{missed} in a row"),
    ]
    if spec.cron is not None:
        found[0] = ("A ping", f"at {spec.cron} ({spec.timezone})")
    if spec.degraded_after_ms is not None:
        found.append(("Degraded when", f"the job takes more than {spec.degraded_after_ms} ms"))
    if spec.invert:
        found.append(("Inverted", "up means that no ping comes"))
    return [{"label": label, "value": value} for label, value in found]


def _ssl_facts(spec: SslSpec) -> list[tuple[str, str]]:
    found = [("Port", str(spec.port))]
    if spec.server_name is not None:
        found.append(("Asks for", spec.server_name))
    if not spec.check_chain:
        found.append(("Issuer", "not verified"))
    if spec.alert_days_before_expiry is not None:
        found.append(("Certificate", f"degraded under {spec.alert_days_before_expiry} days"))
    return found


def _dns_facts(spec: DnsSpec) -> list[tuple[str, str]]:
    found = [
        ("Record", spec.record_type),
        ("Asks", spec.nameserver or "the name servers of this system"),
    ]
    wanted = spec.expected_value
    if wanted is not None:
        listed = (wanted,) if isinstance(wanted, str) else wanted
        any_of = "any of " if spec.match == "any" and len(listed) > 1 else ""
        found.append(("Expects", any_of + ", ".join(listed)))
    return found


def _http_facts(spec: HttpSpec) -> list[tuple[str, str]]:
    follows = "redirects followed" if spec.follow_redirects else "redirects not followed"
    wanted = spec.expected_status
    listed = wanted if isinstance(wanted, tuple) else (wanted,)
    expects = [f"status {', '.join(str(one) for one in listed)}"]
    if spec.body_match:
        expects.append(f"body contains “{spec.body_match}”")
    if spec.body_not_match:
        expects.append(f"body does not contain “{spec.body_not_match}”")
    if spec.body_regex:
        expects.append(f"body matches {spec.body_regex}")
    if spec.json_path:
        expects.append(f"JSON has {spec.json_path}")
    found = [("Request", f"{spec.method}, {follows}"), ("Expects", "; ".join(expects))]
    if not spec.verify_tls:
        found.append(("Certificate", "not verified"))
    if spec.alert_days_before_expiry is not None:
        found.append(("Certificate", f"degraded under {spec.alert_days_before_expiry} days"))
    return found
