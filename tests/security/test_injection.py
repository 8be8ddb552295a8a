"""Text stays text on its way into messages, mails, logs and tables: no template engine runs it, no
header begins with it, no second log line comes of it, no spreadsheet computes it.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import sys

import pytest

from netpulse.log import JsonLines, TextLines
from netpulse.rules import templates
from netpulse.web import routes
from tests.api.test_monitors import fail
from tests.asgi import ask
from tests.conftest import Stage
from tests.makers import Side
from tests.noticed import words
from tests.tenancy import routes_of

CODE = [
    "{{7*7}}",
    "{{ 7 * 7 }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{% include '/etc/passwd' %}",
    "{% for x in range(1000000000) %}x{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{x.__class__}",
    "{monitor.__class__}",
    "{monitor!r}",
    "{monitor:>1000000000}",
    "{0}",
    "{}",
    "%(monitor)s",
    "%s%n%x",
    "$monitor",
    "$(id)",
    "`id`",
    "{{monitor}}",
    "{{{monitor}}}",
]
"""What template engines and formatters of all kinds would do something with."""


# Templates


@pytest.mark.parametrize("code", CODE)
def test_what_would_be_code_elsewhere_is_text(code: str) -> None:
    """In a rule's own message, and in what is put into one."""
    assert templates.problem(code) is None
    assert templates.fill(code, dict.fromkeys(templates.PLACEHOLDERS, "49")) == code
    filled = templates.fill("{monitor}", dict.fromkeys(templates.PLACEHOLDERS, code))
    assert filled == code, "what was put in is not read again"
    told = words(template=f"It says {code}", name="Shop")
    assert f"It says {code}" in "\n".join((told.title, *told.lines))


@pytest.mark.parametrize("code", CODE)
async def test_the_api_and_the_pages_keep_it_as_it_is(house: Stage, code: str) -> None:
    side = Side(house, house.cast.alice, "acme")
    channel = await side.one("alert_channel")
    rule = {"channel_id": channel, "name": code, "message": code}
    made = await side.post("/v1/alert-rules", rule)
    assert (made["name"], made["message"]) == (code, code)
    monitor = await side.post(
        "/v1/monitors", {"type": "http", "name": code, "target": "http://127.0.0.1:9/"}
    )
    shown = await side.ask("GET", f"/monitors/{monitor['id']}")
    assert ">49<" not in shown.text
    assert "root:" not in shown.text
    await fail(house, monitor["id"], side.now)
    (event, *_) = (await side.ask("GET", "/v1/alert-events")).data
    row = await house.house.db.read(
        lambda conn: conn.one("SELECT payload FROM alert_events WHERE id = ?", (event["id"],))
    )
    assert row is not None
    assert json.loads(row[0])["monitor"]["name"] == code


def test_a_message_has_an_end() -> None:
    """Ten megabytes cannot be asked for: neither by the template nor by what is put in."""
    assert templates.problem("{reason}" * 1_000) is not None
    values = dict.fromkeys(templates.PLACEHOLDERS, "x" * 25_000)
    assert len(templates.fill("{reason}" * 400, values).encode()) <= templates.LONGEST_BYTES


# Mail


@pytest.mark.parametrize(
    "field", ["name", "title", "org_name", "email", "to", "header", "topic", "user"]
)
async def test_no_line_break_gets_into_what_becomes_a_header(house: Stage, field: str) -> None:
    """Refused where it is set; what comes in from far sides is cleaned where mails are made
    (`tests/integration/test_channels_email.py`)."""
    side = Side(house, house.cast.alice, "acme")
    smtp = {"host": "mail.example", "user": "u\r\nX: y", "password": "p", "from": "a@b.example"}
    for broken in ("a\r\nBcc: evil@example.com", "a\nX-Evil: 1", "a\rX", "a\x00b", "a\x0bb"):
        requests = {
            "name": ("/v1/monitors", {"type": "http", "target": "http://x/", "name": broken}),
            "title": ("/v1/incidents", {"title": broken}),
            "org_name": ("/v1/org", {"name": broken}),
            "email": ("/v1/org/members/invite", {"email": f"{broken}@example.com"}),
            "to": _channel("email", {"to": [f"{broken}@example.com"]}),
            "header": _channel("webhook", {"url": "http://x/", "headers": {"X-Name": broken}}),
            "topic": _channel("ntfy", {"url": "http://x/", "topic": broken}),
            "user": _channel("email", {"to": ["a@b.example"], "smtp": smtp}),
        }
        path, body = requests[field]
        answer = await side.ask("PUT" if path == "/v1/org" else "POST", path, json_body=body)
        assert answer.status == 400, (field, broken, answer.text)


def _channel(word: str, config: object) -> tuple[str, dict[str, object]]:
    return "/v1/alert-channels", {"name": "c", "type": word, "config": config}


# Logs

FORGED = [
    "x\n2026-01-01T00:00:00.000Z INFO web: signed in as admin",
    "x\r2026-01-01T00:00:00.000Z INFO web: overwritten",
    'x\r\n{"level": "info", "message": "forged"}',
    "x\x1b[2K\x1b[1A\x1b[31mred",
    "x\u2028y\u2029z\x85w\x0bv\x0cu",
    'x", "level": "critical", "y": "',
    "x\x00y",
    "x\u202edlrow",
]


@pytest.mark.parametrize("text", FORGED, ids=repr)
def test_one_event_is_one_line(text: str) -> None:
    """Whatever is in its message, its fields, or the error that is told of."""
    try:
        raise ValueError(text)
    except ValueError:
        failed = sys.exc_info()
    for trouble in (None, failed):
        record = logging.LogRecord(
            "netpulse.web", logging.INFO, __file__, 1, "said: %s", (text,), trouble
        )
        record.path = text
        told = TextLines().format(record)
        first, *rest = told.split("\n")
        assert bool(rest) is (trouble is not None)
        # A traceback's own lines are indented, so that none looks like an event.
        assert all(line.startswith("  ") for line in rest)
        assert all(sign.isprintable() or sign == "\n" for sign in told)
        assert first.count(" INFO web: said: ") == 1
        line = JsonLines().format(record)
        assert line.isprintable()
        assert line.isascii()
        decoded = json.loads(line)
        assert (decoded["level"], decoded["message"]) == ("info", f"said: {text}")
        assert decoded["path"] == text


async def test_what_strangers_send_is_one_line_each(
    house: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for text in FORGED:
        safe = text.encode("utf-8").decode("latin-1").replace("\n", "").replace("\r", "")
        await ask(house.app, "POST", "/v1/auth/login", json_body={"email": text, "password": text})
        await ask(house.app, "GET", f"/x{text}", headers={"User-Agent": safe.replace("\x00", "")})
        await ask(house.app, "GET", "/v1/monitors", headers={"X-Api-Key": safe.replace("\x00", "")})
    for record in caplog.records:
        assert "\n" not in TextLines().format(record).split("\n  ")[0]


# Spreadsheets

FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", '=HYPERLINK("http://evil")']
EXPORTS = {"/v1/audit-logs/export", "/v1/status-pages/{id:str}/subscribers/export"}
"""What answers in CSV when it is asked for it."""


async def test_no_cell_of_an_export_is_a_formula(house: Stage) -> None:
    side = Side(house, house.cast.alice, "acme")
    await side.everything()
    for text in FORMULAS:
        name = text.strip()
        body = {"type": "http", "name": name, "target": "http://127.0.0.1:9/", "group": name}
        await side.post("/v1/monitors", body | {"tags": [name]})
        await side.ask("GET", "/v1/monitors", headers={"User-Agent": text.replace("\r", "")})
        await side.post("/v1/incidents", {"title": name, "message": text})
    found = set()
    for route in routes_of(routes.ROUTES):
        if route.method != "GET" or route.path == "/live":
            continue
        values = {name: await side.one(noun) for name, noun in route.parameters.items() if noun}
        for sent in ({"query": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}, {}):
            answer = await side.ask("GET", route.url(values), **sent)
            if (answer.header("content-type") or "").startswith("text/csv"):
                found.add(route.path)
                for row in csv.reader(io.StringIO(answer.text)):
                    for cell in row:
                        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), (route, cell)
    assert found == EXPORTS, "an export is missing in EXPORTS, or answers no CSV"
