"""What is read off the roster at one moment."""

from __future__ import annotations

from netpulse.engine import glance
from netpulse.engine.glance import Ending, Slow
from netpulse.engine.roster import Roster, Watched
from netpulse.model.check import Certificate, Check, Result
from netpulse.model.ids import Id
from netpulse.model.monitor import HttpSpec, Monitor, MonitorSpec, PushSpec
from netpulse.model.time import DAY
from netpulse.model.watch import Status, Watch

NOW = 1_700_000_000_000


def put(
    roster: Roster,
    name: str,
    ms: int | None,
    *,
    org_id: Id = "acme",
    result: Result = Result.UP,
    ends: int | None = None,
    spec: MonitorSpec | None = None,
    status: Status = Status.UP,
) -> None:
    made = Monitor(
        id=name,
        key=len(roster),
        org_id=org_id,
        spec=spec or HttpSpec(name=name.upper(), target="https://shop.example/"),
        created_by=None,
        created_at=NOW,
    )
    one = Watched(made, Watch(status=status, since=NOW), 0.0)
    one.last = Check(due_at=NOW, started_at=NOW, result=result, response_time_ms=ms)
    if ends is not None:
        one.certificate = Certificate(
            subject=f"CN={name}",
            issuer="CN=ca",
            not_before=NOW,
            not_after=NOW + ends * DAY,
            fingerprint="00",
        )
    roster.add(one)


def test_nothing_is_known_of_nobody() -> None:
    found = glance.responses(Roster(), "acme", 5)
    assert (found.count, found.median_ms, found.p95_ms, found.slowest) == (0, None, None, ())
    assert glance.endings(Roster(), "acme", 5) == []


def test_response_times() -> None:
    roster = Roster()
    for number in range(1, 101):
        put(roster, f"m{number:03}", number)
    # What got no answer, is paused, is somebody else's, or only our own trouble says nothing.
    put(roster, "silent", None, result=Result.DOWN)
    put(roster, "paused", 900, status=Status.PAUSED)
    put(roster, "theirs", 901, org_id="globex")
    put(roster, "ours", 902, result=Result.INCONCLUSIVE)
    put(roster, "job", 903, spec=PushSpec(name="Job", target="x"))
    put(roster, "wrong", 500, result=Result.DOWN)  # an answer, and not the right one

    found = glance.responses(roster, "acme", 2)

    assert (found.count, found.median_ms, found.p95_ms) == (101, 51, 96)
    assert found.slowest == (Slow("wrong", "WRONG", 500), Slow("m100", "M100", 100))
    times = glance.response_times(roster, "acme")
    assert (len(times), times["m007"], times["wrong"]) == (101, 7, 500)
    assert glance.response_times(roster, "globex") == {"theirs": 901}


def test_certificates_that_end_next() -> None:
    roster = Roster()
    for name, ends in (("b", 30), ("a", 3), ("c", -1), ("d", 90)):
        put(roster, name, 1, ends=ends)
    put(roster, "paused", 1, ends=1, status=Status.PAUSED)
    put(roster, "theirs", 1, ends=1, org_id="globex")
    put(roster, "plain", 1)
    assert glance.endings(roster, "acme", 3) == [
        Ending("c", "C", "CN=c", NOW - DAY),
        Ending("a", "A", "CN=a", NOW + 3 * DAY),
        Ending("b", "B", "CN=b", NOW + 30 * DAY),
    ]
