"""The grid of a monitor."""

from __future__ import annotations

from netpulse.engine.roster import Watched
from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    HttpsSpec,
    IcmpSpec,
    Monitor,
    MonitorSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.watch import Status, Watch
from netpulse.rules.schedule import (
    LIGHT_STEP_MS,
    next_slot,
    phase_ms,
    slot_at_or_before,
    step_ms,
    vouched_until,
)
from tests.clock import START


def test_a_grid_by_hand() -> None:
    assert slot_at_or_before(60_000, 60_000, 0) == 60_000
    assert slot_at_or_before(59_999, 60_000, 0) == 0
    assert slot_at_or_before(60_000, 60_000, 1) == 1
    assert next_slot(60_000, 60_000, 0) == 120_000
    assert next_slot(59_999, 60_000, 0) == 60_000


def test_the_phase_is_the_same_for_ever() -> None:
    monitor_id = "01890a5d-ac96-774b-bcce-b302099a8057"

    assert phase_ms(monitor_id, 60_000) == 33_260
    assert phase_ms(monitor_id, 10_000) == 3_260
    assert phase_ms(monitor_id, 10_000, LIGHT_STEP_MS) == 3_200


def test_light_checks_are_due_ten_times_a_second_others_fifty_times() -> None:
    light = (
        IcmpSpec(name="a", target="192.0.2.1", packets=1),
        TcpSpec(name="a", target="192.0.2.1", port=25),
        DnsSpec(name="a", target="example.com"),
    )
    others = (
        IcmpSpec(name="a", target="192.0.2.1", packets=3),
        TcpSpec(name="a", target="192.0.2.1", port=25, send="HELO example.com"),
        TcpSpec(name="a", target="192.0.2.1", port=25, expect="220"),
        HttpSpec(name="a", target="http://192.0.2.1"),
        HttpsSpec(name="a", target="https://192.0.2.1"),
        TcpSpec(name="a", target="192.0.2.1", port=993, tls=True),
        SslSpec(name="a", target="192.0.2.1"),
    )
    assert {step_ms(spec) for spec in light} == {100}
    assert {step_ms(spec) for spec in others} == {20}


def test_a_verdict_vouches_until_its_next_slot_and_the_timeout() -> None:
    assert vouched_until(60_000, 60_000, 0, 10_000) == 130_000
    # A check off the grid (a retry) vouches no longer than until the next slot on it.
    assert vouched_until(70_000, 60_000, 0, 10_000) == 130_000


def test_a_monitor_on_duty_has_the_grid_of_its_type() -> None:
    monitor_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    ping = IcmpSpec(name="a", target="192.0.2.1", packets=1, interval_seconds=10)
    page = HttpSpec(name="a", target="http://192.0.2.1", interval_seconds=10)

    def phase(spec: MonitorSpec) -> int:
        monitor = Monitor(id=monitor_id, key=1, org_id="org", spec=spec, created_at=START)
        return Watched(monitor, Watch(status=Status.UP, settled=Status.UP, since=START), 0.0).phase

    assert (phase(ping), phase(page)) == (3_200, 3_260)
