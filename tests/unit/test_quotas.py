"""What quotas say, and which targets are plainly private."""

from __future__ import annotations

import pytest

from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.org import Quotas
from netpulse.model.time import DAY
from netpulse.rules import quotas
from netpulse.rules.addresses import AddressPolicy


@pytest.mark.parametrize(
    ("quota", "limit", "provider", "sentence"),
    [
        (
            "monitors",
            5,
            "Acme",
            (
                "This organization may have 5 monitors: delete one that is not needed any more, or ask "
                "Acme, who set this quota, for more"
            ),
        ),
        (
            "monitors",
            1,
            None,
            (
                "This organization may have 1 monitor: delete one that is not needed any more, or ask "
                "whoever runs this installation for more"
            ),
        ),
        (
            "users",
            3,
            "Acme",
            (
                "This organization may have 3 users: remove somebody or withdraw an invitation, or ask "
                "Acme, who set this quota, for more"
            ),
        ),
        (
            "users",
            0,
            "Acme",
            "This organization may have no users; ask Acme, who set this quota, for some",
        ),
    ],
)
def test_what_is_said(quota: str, limit: int, provider: str | None, sentence: str) -> None:
    assert quotas.reached(quota, limit, provider) == sentence


def test_what_fits() -> None:
    assert quotas.fits(None, 1_000_000)
    assert quotas.fits(2, 1)
    assert not quotas.fits(2, 2)
    assert not quotas.fits(2, 7)
    assert not quotas.fits(0, 0)


def test_how_far_back() -> None:
    assert quotas.shown_from(Quotas(), 100 * DAY) == 0
    assert quotas.shown_from(Quotas(retention_days=7), 100 * DAY) == 93 * DAY
    assert quotas.shown_from(Quotas(retention_days=200), 100 * DAY) == 0


def test_a_policy_takes_only_away() -> None:
    own = frozenset({("192.0.2.1", 8080)})
    base = AddressPolicy(own=own)
    assert quotas.policy(base, private_targets=True) is base
    assert quotas.policy(base, private_targets=False) == AddressPolicy(allow_private=False, own=own)
    closed = AddressPolicy(allow_private=False)
    assert quotas.policy(closed, private_targets=True) is closed


ONLY = "this organization may only reach public addresses"


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        (
            HttpSpec(name="x", target="http://127.0.0.1:8080/"),
            "$.target",
            f"127.0.0.1 is a loopback address: {ONLY}",
        ),
        (
            HttpSpec(name="x", target="https://[fd12::7]/"),
            "$.target",
            f"fd12::7 is a private address: {ONLY}",
        ),
        (
            HttpSpec(name="x", target="http://[::ffff:10.0.0.1]/"),
            "$.target",
            f"::ffff:a00:1 is a private address: {ONLY}",
        ),
        (
            HttpSpec(name="x", target="http://LOCALHOST/"),
            "$.target",
            f"127.0.0.1 is a loopback address: {ONLY}",
        ),
        (
            HttpSpec(name="x", target="http://db.localhost./"),
            "$.target",
            f"127.0.0.1 is a loopback address: {ONLY}",
        ),
        (
            HttpSpec(name="x", target="http://169.254.169.254/"),
            "$.target",
            "169.254.169.254 is a cloud metadata address: always blocked",
        ),
        (
            TcpSpec(name="x", target="192.168.1.1:5432"),
            "$.target",
            f"192.168.1.1 is a private address: {ONLY}",
        ),
        (
            TcpSpec(name="x", target="100.64.0.9", port=5432),
            "$.target",
            f"100.64.0.9 is a shared (carrier NAT) address: {ONLY}",
        ),
        (
            SslSpec(name="x", target="10.1.2.3"),
            "$.target",
            f"10.1.2.3 is a private address: {ONLY}",
        ),
        (IcmpSpec(name="x", target="::1"), "$.target", f"::1 is a loopback address: {ONLY}"),
        (
            DnsSpec(name="x", target="shop.example", record_type="A", nameserver="127.0.0.53"),
            "$.nameserver",
            f"127.0.0.53 is a loopback address: {ONLY}",
        ),
    ],
)
def test_what_is_plainly_private(spec: MonitorSpec, path: str, said: str) -> None:
    assert [(one.path, one.message) for one in quotas.problems(spec)] == [(path, said)]


@pytest.mark.parametrize(
    "spec",
    [
        HttpSpec(name="x", target="https://shop.example/"),
        HttpSpec(name="x", target="https://8.8.8.8/"),
        HttpSpec(name="x", target="https://localhost.shop.example/"),
        HttpSpec(name="x", target="http://10.0.0.1.shop.example/"),
        HttpSpec(name="x", target="nothing that can be read"),
        TcpSpec(name="x", target="[2606:4700::1111]:443"),
        SslSpec(name="x", target="shop.example"),
        IcmpSpec(name="x", target="9.9.9.9"),
        DnsSpec(name="x", target="db.localhost", record_type="A"),
        DnsSpec(name="x", target="shop.example", record_type="A", nameserver="9.9.9.9"),
        PushSpec(name="x"),
    ],
)
def test_what_only_dialling_tells(spec: MonitorSpec) -> None:
    assert quotas.problems(spec) == []
