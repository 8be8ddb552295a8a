"""Channels and rules in the main file: secrets are sealed, another organization sees nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.channel import WebhookConfig
from netpulse.storage import (
    alert_rules,
    channels,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Missing, VersionConflict
from tests.store import (
    NOW,
    add_channel,
    add_monitor,
    add_org,
    add_rule,
    play,
)


async def test_channels(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        ops, dev = add_channel(conn, org.id), add_channel(conn, org.id, "dev")
        assert channels.get(conn, org.id, ops.id) == ops
        assert channels.get(conn, other.id, ops.id) is None
        assert channels.page(conn, org.id).rows == [dev, ops]
        assert channels.page(conn, org.id, offset=1, limit=1).rows == [ops]
        assert channels.page(conn, org.id).total == 2
        new = replace(
            ops,
            name="Ops 2",
            config=WebhookConfig(url="https://b.example/", headers={"X-A": "1"}),
            is_active=False,
            max_attempts=5,
        )
        stored = channels.replace(conn, new, expected_version=1, now=NOW)
        assert stored == replace(new, version=2)
        with pytest.raises(VersionConflict):
            channels.replace(conn, new, expected_version=1, now=NOW)
        with pytest.raises(Missing):
            channels.replace(conn, replace(new, org_id=other.id), now=NOW)
        assert channels.active(conn, org.id) == [dev]
        with pytest.raises(Missing):
            channels.delete(conn, other.id, dev.id, now=NOW)
        channels.delete(conn, org.id, dev.id, now=NOW)
        assert channels.get(conn, org.id, dev.id) is None
        assert conn.one("SELECT config FROM alert_channels WHERE id = ?", (dev.id,)) == (b"",)
        with pytest.raises(Missing):
            channels.replace(conn, dev, now=NOW)

    await play(tmp_path, act)


async def test_a_seal_does_not_open_in_another_row(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        one, two = add_channel(conn, org.id), add_channel(conn, org.id)
        conn.execute(
            "UPDATE alert_channels SET config = (SELECT config FROM alert_channels WHERE id = ?)"
            " WHERE id = ?",
            (one.id, two.id),
        )
        stolen = channels.get(conn, org.id, two.id)
        assert stolen is not None
        assert stolen.damage is not None
        assert stolen.config.url == ""

    await play(tmp_path, act)


async def test_rules(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        channel = add_channel(conn, org.id)
        monitor = add_monitor(conn, org.id)
        all_of_it = add_rule(conn, org.id, channel.id, at=NOW)
        bound = add_rule(conn, org.id, channel.id, "up", monitor_id=monitor.id, at=NOW + 1)
        tagged = add_rule(conn, org.id, channel.id, "degraded", tag="web", at=NOW + 2)
        system = add_rule(conn, org.id, channel.id, "system", tag="x", at=NOW + 3)
        assert alert_rules.get(conn, org.id, bound.id) == bound
        assert alert_rules.get(conn, other.id, bound.id) is None
        assert alert_rules.page(conn, org.id, monitor_id=monitor.id).rows == [bound]
        assert alert_rules.page(conn, org.id, channel_id=channel.id).total == 4
        covering = alert_rules.for_monitor
        assert covering(conn, org.id, monitor.id, ()) == [all_of_it, bound]
        assert covering(conn, org.id, monitor.id, ("web", "a")) == [all_of_it, bound, tagged]
        assert covering(conn, other.id, monitor.id, ("web",)) == []
        assert alert_rules.for_system(conn, org.id) == [system]
        assert alert_rules.for_system(conn, other.id) == []
        changed = alert_rules.replace(
            conn, replace(bound, is_active=False, condition="down"), expected_version=1, now=NOW
        )
        assert changed == replace(bound, is_active=False, condition="down", version=2)
        assert covering(conn, org.id, monitor.id, ()) == [all_of_it]
        with pytest.raises(VersionConflict):
            alert_rules.replace(conn, bound, expected_version=1, now=NOW)
        with pytest.raises(Missing):
            alert_rules.delete(conn, other.id, bound.id)
        assert alert_rules.delete(conn, org.id, bound.id) == changed
        with pytest.raises(Missing):
            alert_rules.delete(conn, org.id, bound.id)

    await play(tmp_path, act)
