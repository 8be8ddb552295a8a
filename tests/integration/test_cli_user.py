"""`netpulse user` beside a running instance: what it changes counts at the next request."""

from __future__ import annotations

import argparse
import asyncio
import io
import subprocess
import sys
from typing import Any

import pytest

from netpulse.cli import user as cli
from netpulse.crypto import passwords
from netpulse.storage import audit, audit_chains, known_addresses, second_factors, users
from tests.api.test_auth import cookie
from tests.cast import Cast
from tests.conftest import Opener, Stage
from tests.instance import ROOT
from tests.sign_ins import (
    RECOVERY,
    arm,
    browser,
    code,
    error,
    login,
    signed_in,
    told,
    user_of,
    written,
)

ALICE = "alice@acme.example"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", bytes(range(32)).hex())
    monkeypatch.setenv("NETPULSE_SERVER_PUBLIC_URL", "https://netpulse.example")
    monkeypatch.setenv("NETPULSE_SMTP_HOST", "mail.example")
    monkeypatch.setenv("NETPULSE_SMTP_FROM", "netpulse@acme.example")


async def user(stage: Stage, *words: str, typed: str | None = None) -> tuple[int, str, str]:
    """Run `netpulse user` as a process of its own; returns status, output and errors."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "netpulse", "user", *words, "--data", str(stage.data)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
            input=typed,
        )

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout, done.stderr


async def last_row(stage: Stage) -> tuple[str, str, str, Any]:
    """Return action, kind of actor, its label and payload of Acme's last audit row."""
    row = (await stage.house.db.read(audit.page, stage.cast.acme.id)).rows[0]
    payload = (await stage.payloads(stage.cast.acme.id))[-1]
    return row.action, row.actor_kind, row.actor_label, payload


async def test_reset_2fa(house: Stage) -> None:
    page = await browser(house, ALICE)
    await arm(house, house.cast.alice)
    program = await signed_in(house, ALICE, totp_code=code(house))
    status, out, err = await user(house, "reset-2fa", "Alice@Acme.example ")
    assert (status, err) == (0, "")
    assert out == f"The second factor of {ALICE} is off; all their sessions have ended\n"
    assert (await page.get("/v1/auth/me")).status_code == 401
    assert (await program.get("/v1/auth/me")).status_code == 401
    assert (await program.post("/v1/auth/refresh")).status_code == 401
    assert (await login(house.client(), ALICE)).status_code == 200
    assert await house.house.db.read(second_factors.codes_left, house.cast.alice.id) == 0
    (letter,) = await written(house)
    assert letter.recipient == ALICE
    assert letter.text.startswith("Two-factor authentication was turned off for your account.\n")
    assert "By: the command line\n" in letter.text
    rows = (await house.house.db.read(audit.page, house.cast.acme.id)).rows
    (row,) = (row for row in rows if row.action == "user.second_factor_reset")
    assert (row.actor_kind, row.actor_label, row.user_id) == ("cli", "user reset-2fa", None)
    assert row.resource_id == house.cast.alice.id
    assert await house.house.db.read(audit_chains.verify, house.cast.acme.id) == []


async def test_reset_2fa_of_somebody_without(house: Stage) -> None:
    page = await browser(house, ALICE)
    status, out, _ = await user(house, "reset-2fa", ALICE)
    assert (status, out) == (0, f"{ALICE} had no second factor; all their sessions have ended\n")
    assert (await page.get("/v1/auth/me")).status_code == 401
    assert await written(house) == []
    assert await last_row(house) == (
        "user.second_factor_reset",
        "cli",
        "user reset-2fa",
        {"before": {"totp_enabled": False}, "after": None},
    )


async def test_reset_addresses(house: Stage) -> None:
    await house.house.db.write(users.set_ip_whitelist, house.cast.alice.id, ("192.0.2.7",), 1)
    assert error(await login(house.client(), ALICE)) == (401, "LOGIN_FAILED")
    status, out, _ = await user(house, "reset-addresses", ALICE)
    assert (status, out) == (0, f"{ALICE} may come from anywhere again\n")
    assert await last_row(house) == (
        "user.addresses_changed",
        "cli",
        "user reset-addresses",
        {"before": {"ip_whitelist": ["192.0.2.7"]}, "after": {"ip_whitelist": []}},
    )
    assert (await login(house.client(), ALICE)).status_code == 200
    (letter,) = await written(house)
    assert "By: the command line\n" in letter.text
    status, out, _ = await user(house, "reset-addresses", ALICE)
    assert (status, out) == (0, f"{ALICE} may come from anywhere already\n")
    assert len(await written(house)) == 1


async def test_password(house: Stage) -> None:
    page = await browser(house, ALICE)
    await arm(house, house.cast.alice)
    done = await user(house, "password", ALICE, "--password-stdin", typed="brave new walruses\n")
    assert done == (0, f"{ALICE} has a new password; all their sessions have ended\n", "")
    assert (await page.get("/v1/auth/me")).status_code == 401
    alice = house.cast.alice.id
    assert not await house.house.db.read(known_addresses.is_known, alice, "192.0.2.10")
    assert error(await login(house.client(), ALICE)) == (401, "LOGIN_FAILED")
    # The second factor is asked for all the same.
    assert error(await login(house.client(), ALICE, "brave new walruses")) == (
        401,
        "TOTP_REQUIRED",
    )
    right = await login(house.client(), ALICE, "brave new walruses", totp_code=RECOVERY[0])
    assert right.status_code == 200
    assert cookie(right, "np_refresh")
    assert "Your password was changed." in await told(house)
    rows = await house.payloads(house.cast.acme.id)
    assert "walruses" not in repr(rows)


async def test_no_letter_without_a_mail_server(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NETPULSE_SMTP_HOST")
    monkeypatch.delenv("NETPULSE_SMTP_FROM")
    await arm(house, house.cast.alice)
    assert (await user(house, "reset-2fa", ALICE))[0] == 0
    assert await written(house) == []


@pytest.mark.parametrize("action", ["reset-2fa", "reset-addresses", "password"])
async def test_nobody_of_that_name(house: Stage, action: str) -> None:
    status, out, err = await user(house, action, "nobody@acme.example", typed="")
    assert (status, out) == (1, "")
    assert err == "netpulse: there is nobody with the address 'nobody@acme.example'\n"


async def test_list(house: Stage) -> None:
    await arm(house, house.cast.alice)
    await house.house.db.write(users.set_active, house.cast.bob.id, False, 1)
    status, out, _ = await user(house, "list")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        [ALICE, *"admin of acme (last sign-in never, two-factor)".split()],
        ["bob@acme.example", *"viewer of acme (last sign-in never, disabled)".split()],
        ["charlie@globex.example", *"admin of globex (last sign-in never)".split()],
    ]


async def test_the_known_addresses_stay(house: Stage) -> None:
    """A reset is no reason to let strangers hold up the owner."""
    await login(house.client(), ALICE)
    await user(house, "reset-2fa", ALICE)
    known = await house.house.db.read(
        known_addresses.is_known, (await user_of(house, house.cast.alice)).id, "192.0.2.10"
    )
    assert known


@pytest.mark.parametrize("action", ["reset-2fa", "reset-addresses", "password"])
async def test_an_address_that_is_no_text(house: Stage, action: str) -> None:
    status, out, err = await user(house, action, "\udcff@x.example", typed="")
    assert (status, out) == (1, "")
    assert err == "netpulse: there is nobody with the address '\\udcff@x.example'\n"


async def test_who_is_removed_meanwhile(house: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    hash_password, bob = passwords.hash_password, house.cast.bob

    async def held(password: str) -> str:
        await house.house.db.write(users.delete, bob.id)
        return await hash_password(password)

    monkeypatch.setattr(passwords, "hash_password", held)
    monkeypatch.setattr(sys, "stdin", io.StringIO("brave new walruses\n"))
    asked = argparse.Namespace(action="password", email=bob.email, password_stdin=True)
    with pytest.raises(cli.Refused) as refusal:
        await cli._reset(house.house.db, asked, has_mail=True)
    assert str(refusal.value) == f"somebody has just removed {bob.email}; there is nothing to do"


async def test_who_is_not_the_first_any_more(
    open_stage: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await open_stage(people=False)
    hash_password = passwords.hash_password

    async def held(password: str) -> str:
        # Others than those of the stage, whose tokens all tests share.
        await stage.house.db.write(Cast(1).enter, 1)
        return await hash_password(password)

    monkeypatch.setattr(passwords, "hash_password", held)
    monkeypatch.setattr(sys, "stdin", io.StringIO("brave new walruses\n"))
    asked = argparse.Namespace(
        email="root@x.example", org=None, role=None, org_name="X", password_stdin=True
    )
    with pytest.raises(cli.Refused) as refusal:
        await cli._add(stage.house.db, asked, has_mail=False)
    assert str(refusal.value) == "somebody else has just founded the first organization; try again"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A\x1b[31mB", "the organization needs a name in one line"),
        (" ", "the organization needs a name in one line"),
        ("x" * 201, "must have at most 200 characters"),
    ],
)
async def test_names_of_the_first_organization(open_stage: Opener, name: str, said: str) -> None:
    stage = await open_stage(people=False)
    done = await user(stage, "add", "root@x.example", "--org-name", name, typed="")
    assert done == (1, "", f"netpulse: --org-name: {said}\n")


class TestAdd:
    async def test_somebody_new(self, house: Stage) -> None:
        typed = "nine quiet pelicans\n"
        words = ("add", "Dora@Acme.example", "--org", "acme", "--role", "admin")
        done = await user(house, *words, "--password-stdin", typed=typed)
        assert done == (0, "dora@acme.example is admin of Acme\n", "")
        dora = await house.house.db.read(users.by_email, "dora@acme.example")
        assert dora is not None
        assert dora.home_org_id == house.cast.acme.id
        assert await last_row(house) == (
            "user.created",
            "cli",
            "user add",
            {"before": None, "after": {"email": "dora@acme.example", "role": "admin"}},
        )
        answer = await login(house.client(), "dora@acme.example", "nine quiet pelicans")
        assert answer.status_code == 200
        assert await written(house) == []

    async def test_somebody_with_an_account(self, house: Stage) -> None:
        charlie = house.cast.charlie
        done = await user(house, "add", charlie.email, "--org", "acme", "--role", "admin")
        said = f"{charlie.email} is admin of Acme too; the account keeps its password\n"
        assert done == (0, said, "")
        there = house.client(headers=charlie.headers | {"X-Org-Id": house.cast.acme.id})
        assert (await there.get("/v1/api-keys")).status_code == 200
        assert await last_row(house) == (
            "member.added",
            "cli",
            "user add",
            {"before": None, "after": {"email": charlie.email, "role": "admin"}},
        )
        (letter,) = await written(house)
        assert letter.recipient == charlie.email
        assert letter.text.startswith("You were added to Acme, as administrator.\n")
        assert (await login(house.client(), charlie.email)).status_code == 200
        again = await user(house, "add", charlie.email, "--org", "acme")
        assert again == (
            1,
            "",
            f"netpulse: {charlie.email} is admin of Acme already; the members' page changes that\n",
        )

    async def test_a_disabled_member_stays_so(self, house: Stage) -> None:
        bob = house.cast.bob
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET is_active = 0 WHERE user_id = ?", (bob.id,)
            )
        )
        _, _, err = await user(house, "add", bob.email, "--org", "acme", "--role", "admin")
        assert err == (
            f"netpulse: {bob.email} is viewer of Acme already, and disabled there; the members' "
            "page changes that\n"
        )
        _, out, _ = await user(house, "list")
        assert "viewer of acme (disabled)" in out

    async def test_an_open_invitation_has_nothing_to_give_any_more(self, house: Stage) -> None:
        alice = house.client(headers=house.cast.alice.headers)
        charlie = house.cast.charlie
        body = {"email": charlie.email, "role": "admin"}
        made = (await alice.post("/v1/org/members/invite", json=body)).json()["data"]
        status, _, _ = await user(house, "add", charlie.email, "--org", "acme")
        assert status == 0
        assert (await alice.get("/v1/org/invitations")).json()["data"] == []
        assert (await house.client().get(made["url"])).status_code == 404
        assert (await house.actions(house.cast.acme.id))[-2:] == [
            "invitation.revoked",
            "member.added",
        ]

    async def test_a_full_organization(self, house: Stage) -> None:
        await house.house.db.write(
            lambda conn: conn.execute("UPDATE organizations SET max_users = 2")
        )
        status, out, err = await user(house, "add", house.cast.charlie.email, "--org", "acme")
        assert (status, out) == (1, "")
        assert err == (
            "netpulse: This organization may have 2 users: remove somebody or withdraw an "
            "invitation, or ask whoever runs this installation for more\n"
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("nobody", "--org", "acme"), "'nobody' is no email address"),
            (
                ("alice@acme.example",),
                "there are several organizations; choose one with --org: acme, globex",
            ),
            (("alice@acme.example", "--org", "x"), "there is no organization 'x'"),
            (("alice@acme.example", "--org", "\udcff"), "there is no organization '\\udcff'"),
            (
                ("alice@acme.example", "--org-name", "X"),
                "--org-name is for the first person only; name an organization with --org",
            ),
        ],
    )
    async def test_refusals(self, house: Stage, words: tuple[str, ...], said: str) -> None:
        assert await user(house, "add", *words) == (1, "", f"netpulse: {said}\n")
