"""The first request of each monitor: made once, and kept for as long as the monitor is as it is."""

from __future__ import annotations

from yarl import URL

from netpulse.model.monitor import HttpSpec
from netpulse.probes import request


def spec(target: str) -> HttpSpec:
    return HttpSpec(name="a shop", target=target, interval_seconds=60, timeout_seconds=5)


def test_it_is_made_once_for_each() -> None:
    one, other = spec("http://shop.example/a?b=c"), spec("http://shop.example/a?b=c")
    made = request.opening(one)
    assert request.opening(one) is made
    assert request.opening(other) is not made
    assert made.text == "http://shop.example/a?b=c"
    assert (made.ask.url, made.ask.origin) == (URL(made.text), ("http", "shop.example", 80))
    assert made.written.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n")


def test_it_goes_with_its_monitor() -> None:
    gone = spec("http://gone.example/")
    key = id(gone)
    request.opening(gone)
    assert key in request._OPENINGS
    del gone
    assert key not in request._OPENINGS


def test_another_in_the_place_of_one_that_went_stays() -> None:
    first, second = spec("http://first.example/"), spec("http://second.example/")
    request.opening(first)
    of_the_first = request._OPENINGS[id(first)]
    request.opening(second)
    of_the_second = request._OPENINGS[id(second)]
    request._OPENINGS[id(first)] = of_the_second
    request._forget(of_the_first)
    assert request._OPENINGS.pop(id(first)) is of_the_second


def test_what_is_shown_has_no_password() -> None:
    made = request.opening(spec("https://me:secret@shop.example/"))
    assert made.text == "https://shop.example/"
    assert b"Authorization: Basic bWU6c2VjcmV0\r\n" in made.written
