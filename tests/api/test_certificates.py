"""ssl monitors through the whole application: made, tried, checked, shown."""

from __future__ import annotations

import asyncio
from typing import Any

from netpulse.engine.clock import Clock
from netpulse.model.time import DAY
from netpulse.storage import sessions
from tests.cast import SIGNER
from tests.certificates import Authority
from tests.conftest import Opener
from tests.servers import TcpServer

OURS = Authority()


async def test_an_ssl_monitor(open_stage: Opener) -> None:
    house = await open_stage(clock=Clock(), start=True)
    # The cast's tokens were made when the fake clock stood still, long ago.
    now, who = house.house.clock.now(), house.cast.alice
    family = await house.house.db.write(sessions.start_family, who.id, "another", now, now + DAY)
    signed = {"Authorization": f"Bearer {SIGNER.issue(who.id, family, now)}"}
    alice = house.client(headers=signed)
    async with TcpServer(tls=OURS.complete()) as server:
        spec: dict[str, Any] = {
            "type": "ssl",
            "name": "Shop",
            "target": f"127.0.0.1:{server.port}",
            "server_name": "localhost",
            "ca_certificate": OURS.pem,
        }
        tried = (await alice.post("/v1/monitors/test", json=spec)).json()["data"]
        assert tried["status"] == "up", tried
        chain = tried["certificate"]["chain"]
        assert len(chain) == 2
        assert chain[0]["issuer"] == chain[1]["subject"]
        assert tried["certificate"]["signature"] == "sha256"
        answer = await alice.post("/v1/monitors", json=spec)
        assert answer.status_code == 201, answer.text
        made = answer.json()["data"]
        assert (made["target"], made["port"]) == ("127.0.0.1", server.port)
        assert (made["alert_days_before_expiry"], made["check_chain"]) == (14, True)
        path = f"/monitors/{made['id']}"
        for _ in range(100):
            if (await alice.get(f"/v1{path}")).json()["data"]["status"] == "up":
                break
            await asyncio.sleep(0.05)
        page = (await alice.get(path)).text
        for text in ("Certificate", "Chain", "SHA-256", "signed with sha256", "Valid from"):
            assert text in page
        form = {
            "type": "ssl",
            "name": "Shop",
            "target": "127.0.0.1",
            "port": str(server.port),
            "server_name": "localhost",
            "interval_seconds": "60",
            "timeout_seconds": "5",
            "confirmations": "1",
            "recoveries": "1",
            "action": "test",
        }
        page = (await alice.post("/monitors/new", data=form)).text
        # The chain is not verified, for its box is off.
        assert ">for localhost, names localhost; until" in page
        metrics = (await alice.get("/metrics")).text
        assert f'id="{made["id"]}",name="Shop",type="ssl"' in metrics
        assert "netpulse_certificate_expiry_timestamp_seconds{" in metrics
