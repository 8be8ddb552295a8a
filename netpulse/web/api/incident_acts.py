"""/v1/incidents/{id}/acknowledge: somebody takes an incident on."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.storage import acknowledging
from netpulse.storage.acknowledging import Acknowledged
from netpulse.web.api.incident_answers import IncidentAnswer, shown
from netpulse.web.api.incident_changes import in_words, tell
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import One
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession


async def acknowledge(house: House, session: OrgSession, incident_id: Id, via: str) -> Incident:
    """Take an incident on. Raises ApiError: 404, 409 `INCIDENT_RESOLVED`."""

    def work(deed: Deed) -> Acknowledged:
        done = acknowledging.acknowledge(
            deed.conn,
            deed.org_id,
            incident_id,
            by=session.user.email,
            via=via,
            now=deed.now,
            user_id=deed.actor.user_id,
        )
        note_acknowledged(deed, done)
        return done

    done = await in_words(session, work)
    tell_acknowledged(house, done)
    return done.incident


def note_acknowledged(deed: Deed, done: Acknowledged) -> None:
    """Write the audit row, unless somebody had done so before."""
    if not done.is_new:
        deed.nothing_changed()
        return
    incident = done.incident
    after = {"acknowledged_by": incident.acknowledged_by, "via": incident.acknowledged_via}
    deed.note("incident.acknowledged", "incident", incident.id, after=after)


def tell_acknowledged(house: House, done: Acknowledged) -> None:
    """Let browsers hear of it, and the dispatcher of what is to be sent."""
    if done.is_new:
        tell(house, done.incident)
    if done.notice_ids:
        house.engine.notices_written()


@endpoint(
    "POST",
    "/v1/incidents/{id:str}/acknowledge",
    access=ADMIN,
    tag="incidents",
    summary="Acknowledge an incident: escalations and reminders end",
    answer=IncidentAnswer,
    errors=(404, 409),
)
async def acknowledge_one(call: Call) -> One[IncidentAnswer]:
    """Take it on; done before, it stays as it is."""
    incident_id = call.id("id", "incident")
    incident = await acknowledge(call.house, call.session, incident_id, "api")
    call.tag(incident.version)
    return One.of(shown(incident, call.now))


ROUTES = (acknowledge_one,)
