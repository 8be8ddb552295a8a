"""Long pages: which checks are held back while more of them are read than can be."""

from __future__ import annotations

from netpulse.engine.roster import Roster
from netpulse.model.ids import Id
from netpulse.model.monitor import HttpSpec
from netpulse.probes.turns import THRONG, is_crowded


def crowded(roster: Roster, monitor_id: Id) -> bool:
    """Tell whether a check of a monitor would only join a crowd of its own kind in the running
    loop: it should not begin until that is gone.

    Only one whose last body was long has to do with it. Of a page that this process has not read
    yet that is not known: it waits where far more wait already.
    """
    watched = roster.get(monitor_id)
    if watched is None:
        return False
    if watched.long is None:
        return isinstance(watched.monitor.spec, HttpSpec) and is_crowded(THRONG)
    return watched.long and is_crowded()
