"""Mail, handed to a real server: encryption, signing in, refusals, form, and who has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from netpulse.channels import Carrier, DeliveryError, Mail, Message, email
from netpulse.egress import mail as egress_mail
from netpulse.egress import smtp, tls
from netpulse.egress.connect import Egress
from netpulse.model.alert import Event
from netpulse.model.channel import EmailConfig, Smtp
from netpulse.rules.addresses import AddressPolicy
from tests.certificates import Authority
from tests.mailbox import PASSWORD, USER, Mailbox
from tests.noticed import ACKNOWLEDGE, AT, INCIDENT, MESSAGES, PAGE, POLYGLOT, message
from tests.servers import TcpServer

ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    egress = Egress()
    yield Carrier(egress=egress)
    await egress.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One whose certificates this process trusts."""
    found = Authority()
    roots = tmp_path / "roots.pem"
    roots.write_text(found.pem)
    monkeypatch.setattr(tls, "system_roots", lambda: roots)
    monkeypatch.setattr(smtp, "CONTEXTS", tls.Contexts())
    return found


def server(box: Mailbox, **more: Any) -> Smtp:
    return Smtp(
        **{
            "host": "localhost",
            "port": box.port,
            "sender": "NetPulse <alerts@example.com>",
            "security": "none",
            **more,
        }
    )


async def send(
    carrier: Carrier,
    smtp: Smtp | None,
    to: tuple[str, ...] = (ALICE,),
    notice: Message | None = None,
) -> str:
    answer = await email.send(EmailConfig(to=to, smtp=smtp), notice or message(), carrier)
    return answer.text


async def refusal(
    carrier: Carrier,
    smtp: Smtp | None,
    to: tuple[str, ...] = (ALICE,),
    notice: Message | None = None,
) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(carrier, smtp, to, notice)
    return caught.value


async def test_starttls_and_signing_in(carrier: Carrier, authority: Authority) -> None:
    async with Mailbox(tls=authority.good(), auth=True) as box:
        smtp = server(box, security="starttls", user=USER, password=PASSWORD)
        assert await send(carrier, smtp) == "250 2.0.0 queued as 4XyZ"
    assert box.encrypted == [True]
    assert box.taken[0].rcpt_tos == [ALICE]
    assert box.taken[0].mail_from == "alerts@example.com"


async def test_tls_from_the_first_byte(carrier: Carrier, authority: Authority) -> None:
    async with Mailbox(tls=authority.good(), implicit=True, auth=True) as box:
        smtp = server(box, security="tls", user=USER, password=PASSWORD)
        await send(carrier, smtp)
    assert box.encrypted == [True]


async def test_in_clear_where_it_is_asked_for(carrier: Carrier) -> None:
    async with Mailbox() as box:
        answer = await email.send(EmailConfig(to=(ALICE,), smtp=server(box)), message(), carrier)
    assert box.encrypted == [False]
    assert answer.address == "127.0.0.1"
    assert box.greeted_as[0].startswith("[127.0.0.1") or "." in box.greeted_as[0]


async def test_the_configurations_server_is_used_by_channels_without_one(carrier: Carrier) -> None:
    async with Mailbox() as box:
        mail = Mail(host="127.0.0.1", port=box.port, sender="a@example.com", security="none")
        await send(Carrier(egress=carrier.egress, mail=mail), None)
    assert len(box.taken) == 1
    error = await refusal(carrier, None)
    assert (error.permanent, error.disables) == (True, True)
    assert "set [smtp]" in str(error)


async def test_no_starttls_no_mail(carrier: Carrier, authority: Authority) -> None:
    del authority
    async with Mailbox(auth=True) as box:
        smtp = server(box, security="starttls", user=USER, password=PASSWORD)
        error = await refusal(carrier, smtp)
    assert box.taken == []
    assert "does not offer STARTTLS" in str(error)
    assert not error.permanent, "somebody on the way may have taken it out"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for(carrier: Carrier, security: str) -> None:
    async with Mailbox(tls=Authority().good(), implicit=security == "tls") as box:
        error = await refusal(carrier, server(box, security=security))
    assert box.taken == []
    assert not error.permanent
    assert "trust" in str(error) or "certificate" in str(error)


async def test_a_certificate_for_another_name(carrier: Carrier, authority: Authority) -> None:
    async with Mailbox(tls=authority.good("mail.example"), implicit=True) as box:
        error = await refusal(carrier, server(box, security="tls"))
    assert box.taken == []
    assert "localhost" in str(error)


async def test_what_was_said_before_tls_is_not_believed(
    carrier: Carrier, authority: Authority
) -> None:
    """A line slipped in behind the answer to STARTTLS (CVE-2021-23993 and its kin)."""
    context = authority.good()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        await reader.readline()
        writer.write(b"250-mail.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(
            b"220 go ahead\r\n250-mail.test\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 ok\r\n"
        )
        await writer.drain()
        try:
            await writer.start_tls(context)
            await reader.read(100)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(script, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    smtp = Smtp(host="localhost", port=port, sender=ALICE, user=USER, password=PASSWORD)
    error = await refusal(carrier, smtp)
    assert not error.permanent
    listening.close()


async def test_a_wrong_password_disables(carrier: Carrier, authority: Authority) -> None:
    async with Mailbox(tls=authority.good(), auth=True) as box:
        smtp = server(box, security="starttls", user=USER, password="wrong")
        error = await refusal(carrier, smtp)
    assert (error.permanent, error.disables) == (True, True)
    assert "does not accept the user name and password: 535" in str(error)
    assert "wrong" not in f"{error}{error.answer}"


async def test_a_busy_sign_in_is_tried_again(carrier: Carrier, authority: Authority) -> None:
    busy = "454 4.7.0 Temporary authentication failure"
    async with Mailbox(tls=authority.good(), auth=True, auth_reply=busy) as box:
        smtp = server(box, security="starttls", user=USER, password=PASSWORD)
        error = await refusal(carrier, smtp)
    assert (error.permanent, error.disables) == (False, False)


async def test_credentials_that_nobody_asks_for(carrier: Carrier) -> None:
    async with Mailbox() as box:
        error = await refusal(carrier, server(box, user=USER, password=PASSWORD))
    assert (error.permanent, error.disables) == (True, True)
    assert "leave them empty" in str(error)


async def test_a_server_that_wants_credentials(carrier: Carrier) -> None:
    async with Mailbox(auth=True) as box:
        error = await refusal(carrier, server(box))
    assert (error.permanent, error.disables) == (True, True)


@pytest.mark.parametrize(
    ("stage", "reply", "permanent"),
    [
        ("sender_reply", "450 4.2.1 greylisted, come back", False),
        ("sender_reply", "451 4.3.0 local error", False),
        ("sender_reply", "550 5.7.1 we do not relay", True),
        ("data_reply", "452 4.3.1 the disk is full", False),
        ("data_reply", "421 4.3.2 shutting down", False),
        ("data_reply", "554 5.7.1 this is spam", True),
        ("data_reply", "552 5.3.4 too big", True),
    ],
)
async def test_4yz_is_tried_again_and_5yz_is_final(
    carrier: Carrier, stage: str, reply: str, permanent: bool
) -> None:
    async with Mailbox(**{stage: reply}) as box:  # type: ignore[arg-type]
        error = await refusal(carrier, server(box))
    assert (error.permanent, error.disables) == (permanent, False)
    assert reply in (error.answer or "")


async def test_greylisted_then_taken_once_with_the_same_id(carrier: Carrier) -> None:
    notice = message()
    async with Mailbox(recipient_replies={ALICE: "450 4.2.0 greylisted"}) as box:
        assert not (await refusal(carrier, server(box), notice=notice)).permanent
        box.recipient_replies.clear()
        await send(carrier, server(box), notice=notice)
    (mail,) = box.messages
    assert mail["Message-ID"] == f"<{notice.id}@example.com>"


async def test_one_address_that_is_refused_costs_the_others_nothing(carrier: Carrier) -> None:
    async with Mailbox(recipient_replies={BOB: "550 5.1.1 no such user"}) as box:
        said = await send(carrier, server(box), (ALICE, BOB, CAROL))
    assert len(box.taken) == 1
    assert box.taken[0].rcpt_tos == [ALICE, CAROL]
    assert f"taken for {ALICE}, {CAROL}" in said
    assert f"refused for {BOB}" in said
    assert "550 5.1.1 no such user" in said


async def test_who_has_it_is_not_told_twice(carrier: Carrier) -> None:
    notice = message()
    replies = {BOB: "450 4.2.0 greylisted", CAROL: "550 5.1.1 no such user"}
    async with Mailbox(recipient_replies=replies) as box:
        error = await refusal(carrier, server(box), (ALICE, BOB, CAROL), notice)
        assert not error.permanent
        assert f"taken for {ALICE}" in str(error)
        box.recipient_replies.clear()
        said = await send(carrier, server(box), (ALICE, BOB, CAROL), notice)
    assert [envelope.rcpt_tos for envelope in box.taken] == [[ALICE], [BOB]]
    assert f"taken for {ALICE}, {BOB}" in said
    assert f"refused for {CAROL}" in said


async def test_every_address_refused(carrier: Carrier) -> None:
    replies = {ALICE: "550 5.1.1 no such user", BOB: "550 5.1.1 nor this one"}
    async with Mailbox(recipient_replies=replies) as box:
        error = await refusal(carrier, server(box), (ALICE, BOB))
        assert (error.permanent, error.disables) == (True, False)
        replies[BOB] = "451 4.7.1 later"
        assert not (await refusal(carrier, server(box), (ALICE, BOB))).permanent
    assert box.taken == []


@pytest.mark.parametrize("stage", ["sender_reply", "data_reply"])
async def test_silence(carrier: Carrier, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr(email, "MAIL_SECONDS", 0.3)
    async with Mailbox(**{stage: "hang"}) as box:  # type: ignore[arg-type]
        error = await refusal(carrier, server(box))
    assert not error.permanent
    assert str(error) == "the mail server localhost did not finish within 0.3 s"


async def test_nobody_there(carrier: Carrier) -> None:
    async with Mailbox() as box:
        smtp = server(box)
    error = await refusal(carrier, smtp)
    assert (error.permanent, error.disables) == (False, False)
    assert "refused" in str(error)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00\xff" * 500])
async def test_what_is_no_mail_server(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(email, "MAIL_SECONDS", 0.5)
    async with TcpServer(greeting) as other:
        smtp = Smtp(host="127.0.0.1", port=other.port, sender=ALICE, security="none")
        assert not (await refusal(carrier, smtp)).permanent


async def test_a_server_that_turns_us_away(carrier: Carrier) -> None:
    async with TcpServer(b"554 5.7.1 you are on a list\r\n") as other:
        smtp = Smtp(host="127.0.0.1", port=other.port, sender=ALICE, security="none")
        error = await refusal(carrier, smtp)
    assert "554 5.7.1 you are on a list" in str(error)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "fd00:ec2::254", "0.0.0.0"])
async def test_addresses_that_may_not_be_dialled(carrier: Carrier, host: str) -> None:
    error = await refusal(carrier, Smtp(host=host.strip("[]"), port=25, sender=ALICE))
    assert (error.permanent, error.disables) == (True, True)


async def test_strangers_reach_no_private_server(carrier: Carrier) -> None:
    public = Carrier(egress=carrier.egress.under(AddressPolicy(allow_private=False)))
    async with Mailbox() as box:
        error = await refusal(public, server(box))
    assert error.disables
    assert box.greeted_as == []


def test_port_465_implies_tls() -> None:
    assert egress_mail.security_of(Smtp(host="x", port=465)) == "tls"
    assert egress_mail.security_of(Smtp(host="x", port=587)) == "starttls"
    assert egress_mail.security_of(Smtp(host="x", port=465, security="none")) == "none"


async def test_the_form_of_a_mail(carrier: Carrier) -> None:
    notice = message(seconds=720)
    async with Mailbox() as box:
        await send(carrier, server(box), (ALICE, BOB), notice)
    (mail,) = box.messages
    assert mail["Subject"] == "Down: Shop (https://shop.example)"
    assert mail["From"] == "NetPulse <alerts@example.com>"
    assert mail["To"] == f"{ALICE}, {BOB}"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{notice.id}@example.com>"
    assert mail["In-Reply-To"] == mail["References"] == f"<incident.{INCIDENT}@example.com>"
    assert parsedate_to_datetime(mail["Date"]) == datetime.fromtimestamp(AT / 1000, UTC)
    assert mail.get_content_type() == "multipart/alternative"
    text, page = mail.iter_parts()
    for part in (text, page):
        assert "503 Service Unavailable" in part.get_content()
        assert ACKNOWLEDGE in part.get_content()
        assert PAGE in part.get_content()
    assert text.get_content_type() == "text/plain"
    assert page.get_content_type() == "text/html"


async def test_a_conversation_an_incident(carrier: Carrier) -> None:
    async with Mailbox() as box:
        for event in (Event.MONITOR_DOWN, Event.MONITOR_UP):
            await send(carrier, server(box), notice=message(event))
    down, up = box.messages
    assert down["References"] == up["References"]
    assert down["Message-ID"] != up["Message-ID"]


class Tags(HTMLParser):
    """What a mail program sees in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("what", MESSAGES)
async def test_every_message_is_a_sound_mail(carrier: Carrier, what: str) -> None:
    async with Mailbox() as box:
        await send(carrier, server(box), notice=MESSAGES[what])
    (envelope,) = box.taken
    assert isinstance(envelope.content, bytes)
    assert envelope.rcpt_tos == [ALICE]
    assert all(len(line) <= 998 for line in envelope.content.split(b"\r\n"))
    assert envelope.content.isascii()
    (mail,) = box.messages
    names = [name.lower() for name in mail]
    assert "bcc" not in names
    assert len(names) == len(set(names))
    assert mail.defects == []
    _, page = mail.iter_parts()
    tags = Tags()
    tags.feed(page.get_content())
    assert {tag for tag, _ in tags.seen} <= {"html", "body", "h1", "p", "a"}
    for tag, attributes in tags.seen:
        allowed = {"a": {"href"}, "html": {"lang"}, "body": {"style"}, "h1": {"style"}}
        assert set(attributes) <= allowed.get(tag, set())
        assert (attributes.get("href") or "https:").startswith("https:")


async def test_line_breaks_in_names_stay_in_the_subject(carrier: Carrier) -> None:
    async with Mailbox() as box:
        await send(carrier, server(box), notice=message(name=POLYGLOT))
    (mail,) = box.messages
    assert "Bcc: evil@example.com" in mail["Subject"]
    assert mail["Bcc"] is None


async def test_addresses_beyond_ascii(carrier: Carrier) -> None:
    async with Mailbox(international=True) as box:
        await send(carrier, server(box), ("info@bücher.example",))
        assert box.taken[0].rcpt_tos == ["info@xn--bcher-kva.example"]
        await send(carrier, server(box), ("jörg@example.com",))
        assert box.taken[1].rcpt_tos == ["jörg@example.com"]
    async with Mailbox() as box:
        error = await refusal(carrier, server(box), ("jörg@example.com",))
    assert error.permanent
    assert "SMTPUTF8" in str(error)
