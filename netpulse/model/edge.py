"""An edge: everything that must be written at once because a monitor's memory changed."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Watch


class Edge(Struct, frozen=True, kw_only=True):
    """What the engine hands to storage: the new memory, and the flip if the state changed."""

    monitor: Monitor
    watch: Watch
    """After the step. `incident_id` is still the one from before: storage opens and closes."""
    flip: Flip | None = None
    parent_good_at: Millis | None = None
    """When the last conclusive check of the monitor's parent began, if that was good."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What was written."""

    dropped: bool = False
    """The monitor was deleted, paused or changed meanwhile: nothing was written."""
    watch: Watch | None = None
    """As it was saved, with the incident it belongs to now."""
    incident: Incident | None = None
    """The incident that was opened or resolved."""
    notice_ids: tuple[Id, ...] = ()
    """Notices that wait to be sent; the suppressed ones are not among them."""
    waits_for_parent: bool = False
    """A notice is held for what the monitor depends on."""
