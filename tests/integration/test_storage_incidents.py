"""Incidents that people announce, and their stories."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.ids import new_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin
from netpulse.storage import (
    incident_list,
    incident_story,
    incidents,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Missing, VersionConflict
from netpulse.storage.incident_list import IncidentFilter
from tests.store import (
    NOW,
    add_monitor,
    add_org,
    add_user,
    open_incidents,
    play,
)


async def test_manual_incidents_and_their_story(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        alice = add_user(conn, org.id, "alice@example.com")
        shop, mail = add_monitor(conn, org.id), add_monitor(conn, org.id)
        incident = Incident(
            id=new_id(NOW),
            org_id=org.id,
            title="Card payments fail",
            status=IncidentStatus.INVESTIGATING,
            origin=Origin.MANUAL,
            impact=Impact.CRITICAL,
            monitor_ids=tuple(sorted((shop.id, mail.id))),
            started_at=NOW,
            created_at=NOW,
        )
        incidents.insert_manual(conn, incident, message="We look into it", user_id=alice.id)
        assert incidents.get(conn, org.id, incident.id) == incident
        assert incidents.get(conn, other.id, incident.id) is None
        assert incident_list.for_monitor(conn, shop.id, NOW - 5, NOW + 5) == [incident]
        assert incident_list.for_monitor(conn, shop.id, NOW - 5, NOW) == []
        changed = incidents.patch(
            conn,
            org.id,
            incident.id,
            now=NOW + 1,
            user_id=alice.id,
            title="Payments fail",
            status=IncidentStatus.IDENTIFIED,
            root_cause="an expired certificate",
            expected_version=1,
        )
        assert changed == replace(
            incident,
            title="Payments fail",
            status=IncidentStatus.IDENTIFIED,
            root_cause="an expired certificate",
            version=2,
        )
        with pytest.raises(VersionConflict):
            incidents.patch(conn, org.id, incident.id, now=NOW, title="x", expected_version=1)
        for org_id in (other.id,):
            with pytest.raises(Missing):
                incidents.patch(conn, org_id, incident.id, now=NOW, title="x")
            with pytest.raises(Missing):
                incidents.add_update(conn, org_id, incident.id, "x", now=NOW)
        incidents.add_update(
            conn,
            org.id,
            incident.id,
            "Fixed",
            now=NOW + 2,
            user_id=alice.id,
            status=IncidentStatus.RESOLVED,
        )
        over = incidents.get(conn, org.id, incident.id)
        assert over is not None
        assert (over.resolved_at, over.resolution) == (NOW + 2, "manual")
        assert open_incidents(conn, org.id) == 0
        incidents.patch(conn, org.id, incident.id, now=NOW + 3, status=IncidentStatus.MONITORING)
        assert open_incidents(conn, org.id) == 1
        story = incident_story.timeline(conn, incident.id)
        assert [(line.kind, line.message, line.author) for line in story] == [
            ("opened", "We look into it", "alice@example.com"),
            ("status", "", "alice@example.com"),
            ("root_cause", "an expired certificate", "alice@example.com"),
            ("update", "Fixed", "alice@example.com"),
            ("status", "", None),
        ]
        wanted = {
            IncidentFilter(): 1,
            IncidentFilter(is_open=True): 1,
            IncidentFilter(is_open=False): 0,
            IncidentFilter(status=IncidentStatus.MONITORING): 1,
            IncidentFilter(status=IncidentStatus.RESOLVED): 0,
            IncidentFilter(monitor_id=shop.id): 1,
            IncidentFilter(monitor_id=new_id(NOW)): 0,
        }
        for which, total in wanted.items():
            page = incident_list.page(conn, org.id, which)
            assert (page.total, len(page.rows)) == (total, total), which
        assert incident_list.page(conn, other.id, IncidentFilter()).total == 0

    await play(tmp_path, act)
