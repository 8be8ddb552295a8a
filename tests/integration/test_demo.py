"""`make demo`: it starts, can be looked at, its targets fail, and it goes on where it was."""

from __future__ import annotations

import random
import signal
import socket
from itertools import islice
from pathlib import Path

import pytest

from demo.rhythm import Mood, Part, Rhythm, Stretch, stretches
from tests.demo import Demo
from tests.nameserver import can_ping


@pytest.mark.slow
def test_a_look_around(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo")
    try:
        demo.start()
        ok = demo.instance.ok
        assert demo.said("Open") == demo.instance.base
        assert "For looking, not for production" in demo.text
        kinds = {one["type"] for one in ok("GET", "/v1/monitors?limit=100")}
        pings = {"icmp"} if can_ping(socket.AF_INET) else set()
        assert kinds == {"http", "https", "tcp", "ssl", "dns", "push"} | pings
        sign_up = next(
            one for one in ok("GET", "/v1/monitors?limit=100") if one["name"].startswith("News")
        )
        quarter = ok("GET", f"/v1/monitors/{sign_up['id']}/uptime?period=90d")
        assert quarter["checks"] > 4000
        assert quarter["coverage_percent"] > 99
        assert len(quarter["outages"]) == 2
        assert len(ok("GET", "/v1/org/clients")) == 2
        assert {one["role"] for one in ok("GET", "/v1/org/members")} == {
            "super_admin",
            "admin",
            "viewer",
        }
        assert demo.instance.call("GET", "/status/example-works")[0] == 200

        # A target fails, and whoever is on call is told of it.
        incident = demo.outage(sign_up["id"])
        assert incident["title"] == 'Newsletter sign-up is down: body contains "maintenance"'
        assert demo.told(incident["id"])
        assert list(demo.mail.glob("*.eml")), "the invitation went out by mail"
        # So are those who read the status page, and of nothing older.
        news = demo.letter("[Example Works Status] Outage of Newsletter")
        assert "To: purchasing@customer.example" in news or "To: warehouse@" in news
        assert demo.stop() == 0
        assert "The demo has ended" in demo.text

        # Started again it is the same one; ended by a service manager it ends as well.
        demo.start()
        assert "Filling" not in demo.text
        assert ok("GET", f"/v1/incidents/{incident['id']}")["title"] == incident["title"]
        assert demo.stop(signal.SIGTERM) == 0
    finally:
        demo.close()


def test_it_takes_no_directory_of_others(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    demo = Demo(tmp_path)
    with pytest.raises(AssertionError, match="is not empty and no demo's; name another directory"):
        demo.start()
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_piece_is_the_same_at_every_start() -> None:
    rhythm = Rhythm(mood=Mood.AWAY, quiet=(60, 90), lasts=(5, 9), times=3)
    first = list(islice(stretches("shop", rhythm), 50))
    assert first == list(islice(stretches("shop", rhythm), 50))
    assert first != list(islice(stretches("search", rhythm), 50))
    assert first != list(islice(stretches("shop", rhythm, seed=1), 50))
    ends = 0.0
    for number, stretch in enumerate(first):
        pause = stretch.begins - ends
        assert 60 <= pause <= 90 if number % 3 == 0 else 5 <= pause <= 9
        assert 5 <= stretch.ends - stretch.begins <= 9
        ends = stretch.ends


def test_a_part_follows_its_stretches() -> None:
    opening = (Stretch(10, 20, Mood.SLOW),)
    part = Part("shop", Rhythm(mood=Mood.AWAY, quiet=(30, 40), lasts=(5, 9), opening=opening))
    assert [part.mood(at) for at in (0, 9.9, 10, 19.9, 20, 49)] == [
        Mood.WELL,
        Mood.WELL,
        Mood.SLOW,
        Mood.SLOW,
        Mood.WELL,
        Mood.WELL,
    ]
    moods = [part.mood(at) for at in range(50, 70)]
    assert 5 <= moods.count(Mood.AWAY) <= 9
    # Well after an opening, for good, where no mood is named.
    part = Part("old", Rhythm(opening=opening))
    assert part.mood(15) is Mood.SLOW
    assert part.mood(10_000 + random.random()) is Mood.WELL
