"""Monitors on duty that no schedule knows: what is held of each between two checks."""

from __future__ import annotations

from netpulse.engine.roster import Watched
from netpulse.model.ids import new_id
from netpulse.model.monitor import HttpSpec, Monitor, PushSpec
from netpulse.model.watch import Status, Watch
from tests.clock import START


def watched(number: int = 0, status: Status = Status.UP, *, push: bool = False) -> Watched:
    """Return the monitor of a number, in a state, with its checks or its pings still to come."""
    kind = PushSpec if push else HttpSpec
    monitor = Monitor(
        id=new_id(START + number),
        key=number,
        org_id="org",
        spec=kind(name="Shop", target="http://192.0.2.1/"),
        created_at=START,
    )
    return Watched(monitor, Watch(status=status, settled=status, since=START), 0.0)
