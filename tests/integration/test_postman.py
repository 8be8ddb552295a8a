"""The postman: real letters, a real mail server, real attempts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from netpulse.channels import Mail
from netpulse.engine import postman
from netpulse.model.ids import Id
from netpulse.model.letter import Letter, LetterKind, LetterState
from netpulse.model.time import HOUR, MINUTE
from netpulse.rules.outbox import Backoff
from netpulse.storage import letters
from tests.clock import ShiftedClock
from tests.home import Home, home, now, spec
from tests.instance import free_port
from tests.mailbox import Mailbox
from tests.receiver import Receiver
from tests.servers import TcpServer

ALICE, BOB = "alice@example.com", "bob@example.com"
ROOT = Path(__file__).parents[2]
NEVER = Backoff(first=3600.0, longest=3600.0, jitter=0.0)


def server(port: int, **more: Any) -> Mail:
    fields = {
        "host": "127.0.0.1",
        "port": port,
        "sender": "NetPulse <netpulse@example.com>",
        "security": "none",
    }
    return Mail(**(fields | more))


def at(data: Path, port: int, **more: Any) -> AbstractAsyncContextManager[Home]:
    return home(data, mail=server(port), **more)


async def write(
    to: Home, recipient: str = ALICE, text: str = "Hello.\n", *, at: int | None = None, **more: Any
) -> Id:
    """Write a letter as a handler does: in a transaction, and wake the postman after it."""
    fields: dict[str, Any] = {"expires_at": now() + HOUR, "org_id": to.org.id}
    letter_id: Id = await to.db.write(
        letters.post,
        LetterKind.SECURITY,
        recipient,
        "A subject",
        text,
        now() if at is None else at,
        **(fields | more),
    )
    to.engine.letters_written()
    return letter_id


async def find(to: Home, letter_id: Id) -> Letter:
    found = await to.db.read(letters.get, letter_id)
    assert found is not None
    return found


async def settled(to: Home, letter_id: Id, seconds: float = 10) -> Letter:
    """Wait until a letter was sent or given up."""

    async def look() -> bool:
        return (await find(to, letter_id)).state is not LetterState.WAITING

    await to.until(look, "the letter is settled", seconds)
    return await find(to, letter_id)


async def tried(to: Home, letter_id: Id, times: int = 1) -> Letter:
    """Wait until so many attempts have failed."""

    async def look() -> bool:
        return (await find(to, letter_id)).attempt_count >= times

    await to.until(look, f"{times} attempts")
    return await find(to, letter_id)


async def bodies(to: Home) -> list[bytes | None]:
    rows = await to.db.read(lambda conn: conn.all("SELECT body FROM letters ORDER BY id"))
    return [row[0] for row in rows]


class TestSending:
    async def test_a_letter_goes_out_at_once_and_its_text_is_forgotten(
        self, tmp_path: Path
    ) -> None:
        async with Mailbox() as box, at(tmp_path / "data", box.port) as here:
            began = time.monotonic()
            letter_id = await write(here, text="One line.\n\nhttps://status.example.com/reset/x\n")
            letter = await settled(here, letter_id)
            assert time.monotonic() - began < 3
            assert (letter.state, letter.attempt_count) == (LetterState.SENT, 1)
            assert letter.error is None
            assert await bodies(here) == [None]
        (mail,) = box.messages
        assert mail["To"] == ALICE
        assert mail["From"] == "NetPulse <netpulse@example.com>"
        assert mail["Subject"] == "A subject"
        assert mail["Message-ID"] == f"<{letter_id}@example.com>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail.get_content_type() == "text/plain"
        assert "https://status.example.com/reset/x" in mail.get_content().splitlines()
        assert box.taken[0].mail_from == "netpulse@example.com"

    async def test_the_text_is_sealed_while_it_waits(self, tmp_path: Path) -> None:
        async with home(tmp_path / "data", start=False) as here:
            await write(here, text="a secret link")
            (body,) = await bodies(here)
            assert body is not None
            assert b"secret" not in body
            (letter,) = await here.db.read(letters.due, now())
            assert letter.text == "a secret link"

    async def test_line_breaks_in_what_people_wrote_stay_where_they_are(
        self, tmp_path: Path
    ) -> None:
        async with Mailbox() as box, at(tmp_path / "data", box.port) as here:
            letter_id: Id = await here.db.write(
                letters.post,
                LetterKind.INVITATION,
                ALICE,
                "Join Acme\r\nBcc: evil@example.com\r\n\r\nbody",
                "Hello.\n",
                now(),
                expires_at=now() + HOUR,
            )
            here.engine.letters_written()
            assert (await settled(here, letter_id)).state is LetterState.SENT
        (mail,) = box.messages
        assert mail["Bcc"] is None
        assert mail["Subject"] == "Join Acme Bcc: evil@example.com body"
        assert mail.get_content() == "Hello.\r\n"
        assert box.taken[0].rcpt_tos == [ALICE]

    @pytest.mark.parametrize(
        "recipient",
        [
            "alice@example.com\r\nRCPT TO:<evil@example.com>",
            "alice@example.com>\r\nDATA\r\nBcc: evil@example.com",
            "alice@example.com\nBcc: evil@example.com",
            "alice@example.com, evil@example.com",
            "a\x00b@example.com",
        ],
    )
    async def test_an_address_that_is_none_reaches_nobody_else(
        self, tmp_path: Path, recipient: str
    ) -> None:
        """Nobody can have such an address: this is the last line of defence."""
        async with Mailbox() as box, at(tmp_path / "data", box.port) as here:
            await write(here, recipient)
            whole = await write(here, BOB)
            assert (await settled(here, whole)).state is LetterState.SENT
            await asyncio.sleep(0.1)
        for envelope, mail in zip(box.taken, box.messages, strict=True):
            assert len(envelope.rcpt_tos) == 1
            assert not envelope.rcpt_tos[0].startswith("evil")
            assert mail["Bcc"] is None
            assert mail.get_content() == "Hello.\r\n"

    async def test_what_another_process_wrote_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postman, "POLL_SECONDS", 0.2)
        async with Mailbox() as box, at(tmp_path / "data", box.port) as here:
            letter_id = await here.db.write(
                letters.post, LetterKind.SECURITY, ALICE, "S", "T", now(), expires_at=now() + HOUR
            )
            assert (await settled(here, letter_id, 3)).state is LetterState.SENT

    def test_it_looks_by_itself_within_seconds(self) -> None:
        assert postman.POLL_SECONDS <= 5

    async def test_a_few_at_once_and_no_more(self, tmp_path: Path) -> None:
        async with Mailbox(sender_reply="hang") as box, at(tmp_path / "data", box.port) as here:
            for _ in range(10):
                await write(here)

            async def look() -> bool:
                return len(box._hanging) >= postman.AT_ONCE

            await here.until(look, "letters under way")
            await asyncio.sleep(0.3)
            assert len(box._hanging) == postman.AT_ONCE

    async def test_an_address_beyond_ascii(self, tmp_path: Path) -> None:
        async with (
            Mailbox(international=True) as box,
            at(tmp_path / "data", box.port) as here,
        ):
            await settled(here, await write(here, "jörg@bücher.example"))
        assert box.taken[0].rcpt_tos == ["jörg@xn--bcher-kva.example"]

    async def test_alerts_wait_for_none_of_them(self, tmp_path: Path) -> None:
        async with (
            Mailbox(sender_reply="hang") as box,
            Receiver() as receiver,
            at(tmp_path / "data", box.port) as here,
        ):
            await here.rule(await here.channel(receiver.url))
            for _ in range(2 * postman.AT_ONCE):
                await write(here)

            async def look() -> bool:
                return len(box._hanging) >= postman.AT_ONCE

            await here.until(look, "letters under way")
            await here.monitor(spec(f"http://127.0.0.1:{free_port()}/", confirmations=1))
            (alert,) = await receiver.wait_for(1, seconds=5)
            assert alert.payload["event"] == "monitor.down"


class TestTrouble:
    async def test_a_server_that_was_away(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="netpulse.engine.postman")
        async with Mailbox() as box:
            port = box.port
        async with at(tmp_path / "data", port) as here:
            first, second = await write(here), await write(here, BOB)
            letter = await tried(here, first, 3)
            assert letter.error == f"connection refused by 127.0.0.1:{port}"
            assert letter.state is LetterState.WAITING
            waiting = await here.db.read(letters.unsent, now() - HOUR)
            assert {one.id for one in waiting} == {first, second}
            assert {one.text for one in waiting} == {""}
            async with Mailbox(port=port) as box:
                assert (await settled(here, first)).state is LetterState.SENT
                assert (await settled(here, second)).state is LetterState.SENT
            assert await here.db.read(letters.unsent, now() - HOUR) == []
        # Edges, not every attempt.
        assert [record.getMessage() for record in caplog.records] == [
            f"a letter could not be sent: connection refused by 127.0.0.1:{port}",
            "the mail server takes letters again",
        ]

    async def test_one_that_gets_through_has_the_others_sent_at_once(self, tmp_path: Path) -> None:
        async with Mailbox() as box:
            port = box.port
        async with at(tmp_path / "data", port, backoff=NEVER) as here:
            first = await write(here)
            await tried(here, first)
            async with Mailbox(port=port):
                second = await write(here, BOB)
                assert (await settled(here, second)).state is LetterState.SENT
                assert (await settled(here, first)).state is LetterState.SENT

    async def test_the_same_message_id_at_each_attempt(self, tmp_path: Path) -> None:
        async with (
            Mailbox(recipient_replies={ALICE: "450 4.2.0 greylisted"}) as box,
            at(tmp_path / "data", box.port) as here,
        ):
            letter_id = await write(here)
            letter = await tried(here, letter_id, 2)
            assert letter.error == (
                "the mail server does not accept the recipient: 450 4.2.0 greylisted"
            )
            box.recipient_replies.clear()
            assert (await settled(here, letter_id)).state is LetterState.SENT
        (mail,) = box.messages
        assert mail["Message-ID"] == f"<{letter_id}@example.com>"

    @pytest.mark.parametrize(
        ("more", "error"),
        [
            (
                {"recipient_replies": {ALICE: "550 5.1.1 no such user"}},
                "the mail server does not accept the recipient: 550 5.1.1 no such user",
            ),
            (
                {"data_reply": "554 5.7.1 this is spam"},
                "the mail server does not accept the message: 554 5.7.1 this is spam",
            ),
        ],
    )
    async def test_a_letter_refused_for_good_costs_the_others_nothing(
        self, tmp_path: Path, more: dict[str, Any], error: str
    ) -> None:
        async with Mailbox(**more) as box, at(tmp_path / "data", box.port) as here:
            letter = await settled(here, await write(here))
            assert (letter.state, letter.attempt_count) == (LetterState.FAILED, 1)
            assert letter.error == error
            assert await bodies(here) == [None]
            box.data_reply = None
            assert (await settled(here, await write(here, BOB))).state is LetterState.SENT

    @pytest.mark.parametrize(
        ("box", "more", "error"),
        [
            (
                {"sender_reply": "553 5.7.1 not your address"},
                {},
                "the mail server does not accept the sender: 553 5.7.1 not your address",
            ),
            (
                {},
                {"user": "postmaster", "password": "x" * 12},
                "the mail server does not accept the user name and password: 127.0.0.1 takes no user names and passwords on this port; leave them empty",
            ),
            (
                {"auth": True},
                {"security": "starttls"},
                "the mail server has no encryption: 127.0.0.1 does not offer STARTTLS, and mail is not sent to it in clear; set security to tls (port 465), or to none where the way is safe",
            ),
            ({}, {"sender": None}, "no sender: set smtp.from to the address that mail comes from"),
        ],
        ids=["sender", "credentials", "starttls", "no sender"],
    )
    async def test_what_is_said_of_the_setup_is_not_final(
        self, tmp_path: Path, box: dict[str, Any], more: dict[str, Any], error: str
    ) -> None:
        """Somebody will put it right, and restart: the letter goes out then."""
        async with Mailbox(**box) as wrong:
            mail = server(wrong.port, **more)
            async with home(tmp_path / "data", mail=mail, backoff=NEVER) as here:
                letter_id = await write(here)
                letter = await tried(here, letter_id)
                assert (letter.state, letter.error) == (LetterState.WAITING, error)
            assert wrong.taken == []
        async with Mailbox() as right, at(tmp_path / "data", right.port) as here:
            assert (await settled(here, letter_id)).state is LetterState.SENT

    async def test_without_a_mail_server_they_wait(self, tmp_path: Path) -> None:
        async with home(tmp_path / "data") as here:
            letter = await tried(here, await write(here))
            assert letter.error == "no mail server is set ([smtp] in the configuration)"
            assert letter.state is LetterState.WAITING

    async def test_one_that_came_too_late_is_not_sent(self, tmp_path: Path) -> None:
        async with home(tmp_path / "data", start=False) as here:
            old = await write(here, expires_at=now() + 30 * MINUTE)
        late = ShiftedClock(31 * MINUTE)
        async with Mailbox() as box, at(tmp_path / "data", box.port, clock=late) as here:
            letter = await settled(here, old)
            assert letter.state is LetterState.FAILED
            assert letter.error == "it was not tried in time; later it would be of no use"
            assert await bodies(here) == [None]
        assert box.taken == []

    async def test_one_whose_text_does_not_open_stops_no_other(self, tmp_path: Path) -> None:
        async with home(tmp_path / "data", start=False) as here:
            broken, whole = await write(here), await write(here, BOB)
            await here.db.write(
                lambda conn: conn.execute(
                    "UPDATE letters SET body = zeroblob(60) WHERE id = ?", (broken,)
                )
            )
        async with Mailbox() as box, at(tmp_path / "data", box.port) as here:
            assert (await settled(here, whole)).state is LetterState.SENT
            letter = await settled(here, broken)
            assert letter.error == (
                "its text cannot be read: the sealed value of "
                f"letters|body|{broken}|- has an unknown format"
            )
        assert [envelope.rcpt_tos for envelope in box.taken] == [[BOB]]

    async def test_a_clock_that_was_set_back_delays_nothing(self, tmp_path: Path) -> None:
        clock = ShiftedClock(2 * HOUR)
        async with Mailbox() as box:
            port = box.port
        async with at(tmp_path / "data", port, clock=clock) as here:
            letter_id = await write(here, expires_at=now() + 9 * HOUR)
            await tried(here, letter_id)
            clock.ahead_ms = 0
            async with Mailbox(port=port):
                here.engine.letters_written()
                assert (await settled(here, letter_id)).state is LetterState.SENT

    async def test_what_is_no_mail_server(self, tmp_path: Path) -> None:
        async with (
            TcpServer(b"SSH-2.0-OpenSSH_9.2\r\n") as other,
            at(tmp_path / "data", other.port) as here,
        ):
            letter = await tried(here, await write(here))
            assert letter.error == (
                "the mail server 127.0.0.1 broke the connection off or does not speak SMTP"
            )


async def test_what_was_recalled_is_not_sent(tmp_path: Path) -> None:
    async with home(tmp_path / "data", start=False) as here:
        old, newer = await write(here), await write(here, BOB)
        of_nobody = await write(here, org_id=None)
        for org_id in (here.org.id, None):
            await here.db.write(
                letters.recall, org_id, LetterKind.SECURITY, ALICE, "it was withdrawn"
            )
            letter = await find(here, old)
            assert (letter.state, letter.error) == (LetterState.FAILED, "it was withdrawn")
            due = [one.id for one in await here.db.read(letters.due, now())]
            # Written in one millisecond, they may come in either order.
            assert set(due) == ({newer, of_nobody} if org_id else {newer})
        # An attempt that was under way changes nothing any more.
        await here.db.write(letters.failed, old, "refused", now())
        assert (await find(here, old)).error == "it was withdrawn"
        await here.db.write(letters.sent, newer, now())
        await here.db.write(letters.recall, here.org.id, LetterKind.SECURITY, BOB, "too late")
        assert (await find(here, newer)).state is LetterState.SENT


async def test_the_newest_by_recipient(tmp_path: Path) -> None:
    async with home(tmp_path / "data", start=False) as here:
        older, newer = await write(here, at=now() - 1), await write(here)
        other = await write(here, BOB)
        await write(here, org_id="019b0000-0000-7000-8000-00000000beef")
        await here.db.write(letters.failed, other, "550 no", None)
        found = await here.db.read(
            letters.latest, here.org.id, LetterKind.SECURITY, [ALICE, BOB, "carol@example.com"]
        )
        assert {key: one.id for key, one in found.items()} == {ALICE: newer, BOB: other}
        assert older != newer
        assert found[BOB].state is LetterState.FAILED
        assert found[ALICE].text == ""
        none = await here.db.read(letters.latest, here.org.id, LetterKind.INVITATION, [ALICE])
        assert none == {}


async def test_a_killed_process_sends_it_again(tmp_path: Path) -> None:
    """kill -9 while a letter is on its way: it arrives after the next start, with the same id."""
    data = tmp_path / "data"
    async with Mailbox(data_reply="hang") as box:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.postman_child", str(data), str(box.port), cwd=ROOT
        )
        deadline = time.monotonic() + 30
        while not box._hanging:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert box.taken == []
        box.data_reply = None
        async with home(data, start=False) as here:
            (waiting,) = await here.db.read(letters.unsent, now() - HOUR)
        async with at(data, box.port) as here:
            assert (await settled(here, waiting.id)).state is LetterState.SENT
    (mail,) = box.messages
    assert mail["Message-ID"] == f"<{waiting.id}@example.com>"
