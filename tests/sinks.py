"""Services that messages are sent to, on port 0: each takes only what the real one would.

    async with Sink(slack) as sink:
        ... sink.url ... sink.taken

A service is a function of a request that raises `Wrong` where the service's reference does not
allow it, and else returns the answer the service gives. `sink.script` answers instead of it: with a
status, a text and headers, or as a coroutine that does as it likes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

ID = "019b2dcd-7c37-7df4-a095-8fb2bc0e4842"


class Wrong(Exception):
    """The service does not take this: the status, and what it says."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded; its type must say that it is JSON."""
        expect(self.headers.get("content-type", "").startswith("application/json"), "content type")
        decoded = json.loads(self.body)
        expect(isinstance(decoded, dict), "not an object")
        return decoded

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        kind = self.headers.get("content-type", "")
        expect(kind.startswith("application/x-www-form-urlencoded"), f"content type {kind}")
        pairs = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        expect(len(dict(pairs)) == len(pairs), "a field twice")
        return dict(pairs)


Service = Callable[[Asked], tuple[int, str]]
Script = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass
class Sink:
    """Use as an async context manager."""

    service: Service
    script: tuple[int, str, dict[str, str]] | Script | None = None
    asked: list[Asked] = field(default_factory=list)
    taken: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.raw_path,
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        self.asked.append(asked)
        try:
            expect(asked.method == "POST", "method", 405)
            status, text = self.service(asked)
        except Wrong as error:
            self.wrong.append(str(error))
            return web.Response(status=error.status, text=str(error))
        if callable(self.script):
            return await self.script(asked)
        if self.script is not None:
            status, text, headers = self.script
            return web.Response(status=status, text=text, headers=headers)
        self.taken.append(asked)
        return web.Response(status=status, text=text)


async def hang(_: Asked) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(3600)
    raise AssertionError


def expect(holds: bool, what: str, status: int = 400) -> None:
    """Refuse unless it holds."""
    if not holds:
        raise Wrong(what, status)


def only(fields: dict[str, Any], needed: str, may: str = "") -> None:
    """Refuse unless an object has all of `needed`, and beside them only what `may` names."""
    names, both = set(fields), set(needed.split()) | set(may.split())
    expect(set(needed.split()) <= names, f"missing {set(needed.split()) - names}")
    expect(names <= both, f"unknown {names - both}")


def text(value: object, most: int, least: int = 1) -> str:
    """Refuse unless it is text of that length, counted as UTF-16 does."""
    expect(isinstance(value, str), f"no text: {value!r}")
    assert isinstance(value, str)
    size = len(value.encode("utf-16-le")) // 2
    expect(least <= size <= most, f"{size} characters, at most {most}")
    return value


def address(value: object, most: int = 3000) -> None:
    """Refuse unless it is an http address."""
    expect(re.fullmatch(r"https?://[^\s<>\"]+", text(value, most)) is not None, f"URL {value!r}")


def slack(asked: Asked) -> tuple[int, str]:
    """Incoming webhooks with Block Kit."""
    expect(asked.path.startswith("/services/T"), "no_service", 404)
    fields = asked.json
    only(fields, "text blocks", "unfurl_links unfurl_media")
    _slack_markup(text(fields["text"], 40_000))
    blocks = fields["blocks"]
    expect(1 <= len(blocks) <= 50, "invalid_blocks")
    for block in blocks:
        if block["type"] == "header":
            only(block, "type text")
            only(block["text"], "type text", "emoji")
            expect(block["text"]["type"] == "plain_text", "invalid_blocks: header")
            text(block["text"]["text"], 150)
        elif block["type"] == "section":
            only(block, "type text")
            only(block["text"], "type text", "verbatim")
            expect(block["text"]["type"] == "mrkdwn", "invalid_blocks: section")
            _slack_markup(text(block["text"]["text"], 3000))
        else:
            expect(block["type"] == "actions", "invalid_blocks: type")
            only(block, "type elements")
            expect(1 <= len(block["elements"]) <= 25, "invalid_blocks: elements")
            for button in block["elements"]:
                only(button, "type text url")
                expect(button["type"] == "button", "invalid_blocks: button")
                expect(button["text"]["type"] == "plain_text", "invalid_blocks: button")
                text(button["text"]["text"], 75)
                address(button["url"])
    return 200, "ok"


def _slack_markup(value: str) -> None:
    expect("<" not in value and ">" not in value, "a link or a mention in foreign text")
    expect(re.search(r"&(?!amp;|lt;|gt;)", value) is None, "an ampersand that is not escaped")


def discord(asked: Asked) -> tuple[int, str]:
    """Execute Webhook."""
    expect(re.fullmatch(r"/api/webhooks/\d+/[\w-]+", asked.path) is not None, "webhook", 404)
    fields = asked.json
    only(fields, "content embeds allowed_mentions", "username avatar_url")
    expect(fields["allowed_mentions"] == {"parse": []}, "allowed_mentions")
    text(fields["content"], 2000)
    expect(1 <= len(fields["embeds"]) <= 10, "embeds")
    for embed in fields["embeds"]:
        only(embed, "title color", "description url")
        text(embed["title"], 256)
        text(embed.get("description", "x"), 4096)
        expect(isinstance(embed["color"], int) and 0 <= embed["color"] <= 0xFFFFFF, "color")
    expect(
        sum(len(e["title"]) + len(e.get("description", "")) for e in fields["embeds"]) <= 6000, ""
    )
    return 204, ""


def teams(asked: Asked) -> tuple[int, str]:
    """A workflow: "When a Teams webhook request is received"."""
    expect(asked.path.startswith("/workflows/"), "WorkflowNotFound", 404)
    expect(len(asked.body) <= 28 * 1024, "RequestEntityTooLarge", 413)
    fields = asked.json
    only(fields, "type attachments")
    expect(fields["type"] == "message" and len(fields["attachments"]) == 1, "message")
    (attachment,) = fields["attachments"]
    only(attachment, "contentType content", "contentUrl")
    expect(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", "contentType")
    card = attachment["content"]
    only(card, "$schema type version body", "actions msteams")
    expect(card["type"] == "AdaptiveCard" and card["version"] in {"1.2", "1.3", "1.4", "1.5"}, "")
    expect(len(card["body"]) >= 1, "body")
    for block in card["body"]:
        only(block, "type inlines")
        expect(block["type"] == "RichTextBlock", "a text block would be marked up")
        for run in block["inlines"]:
            only(run, "type text", "weight color size")
            expect(run["type"] == "TextRun", "run")
            text(run["text"], 28_000)
            expect(run.get("color", "Default") in {"Default", "Attention", "Warning", "Good"}, "")
    for action in card.get("actions", []):
        only(action, "type title url")
        expect(action["type"] == "Action.OpenUrl", "action")
        address(action["url"])
    return 202, ""


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.plain = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        expect(tag in {"b", "i", "u", "s", "code", "pre"} and not attrs, f"can't parse: <{tag}>")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        expect(bool(self.open) and self.open.pop() == tag, f"can't parse: </{tag}>")

    def handle_data(self, data: str) -> None:
        self.plain += data


def telegram(asked: Asked) -> tuple[int, str]:
    """sendMessage of the Bot API."""
    expect(re.fullmatch(r"/bot\d+:[\w-]+/sendMessage", asked.path) is not None, "Not Found", 404)
    fields = asked.json
    only(fields, "chat_id text", "parse_mode link_preview_options reply_markup")
    expect(fields.get("parse_mode") == "HTML", "parse_mode")
    expect(re.search(r"&(?!amp;|lt;|gt;|quot;)", fields["text"]) is None, "can't parse entities")
    tags = _Tags()
    tags.feed(fields["text"])
    tags.close()
    expect(not tags.open, "can't parse entities: a tag stays open")
    text(tags.plain, 4096)
    for row in fields.get("reply_markup", {}).get("inline_keyboard", []):
        for button in row:
            only(button, "text url")
            address(button["url"])
    return 200, json.dumps({"ok": True, "result": {"message_id": 1}})


def twilio(asked: Asked) -> tuple[int, str]:
    """POST of the Messages resource."""
    found = re.fullmatch(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/Messages\.json", asked.path)
    expect(found is not None, '{"code": 20404, "message": "not found", "status": 404}', 404)
    assert found is not None
    kind, _, rest = asked.headers.get("authorization", "").partition(" ")
    expect(kind == "Basic", '{"code": 20003, "message": "Authenticate", "status": 401}', 401)
    user, _, token = base64.b64decode(rest, validate=True).decode().partition(":")
    good = user == found[1] and token == "a-token-of-twilio"
    expect(good, '{"code": 20003, "message": "Authenticate", "status": 401}', 401)
    form = asked.form
    expect(set(form) in ({"To", "From", "Body"}, {"To", "MessagingServiceSid", "Body"}), "fields")
    text(form["Body"], 1600)
    valid = re.fullmatch(r"\+[1-9]\d{7,14}", form["To"]) is not None
    expect(valid, '{"code": 21211, "message": "Invalid \'To\' Phone Number", "status": 400}')
    return 201, json.dumps({"sid": "SM" + "0" * 32, "status": "queued", "error_code": None})


def pagerduty(asked: Asked) -> tuple[int, str]:
    """Events API v2, after its published OpenAPI document."""
    expect(asked.path == "/v2/enqueue", "Not Found", 404)
    expect(len(asked.body) <= 512_000, "too large", 413)
    fields = asked.json
    only(fields, "routing_key event_action dedup_key", "payload client client_url links images")
    expect(
        re.fullmatch(r"[0-9a-zA-Z]{32}", fields["routing_key"]) is not None,
        json.dumps({"status": "invalid event", "errors": ["'routing_key' is invalid"]}),
    )
    text(fields["dedup_key"], 255)
    expect(fields["event_action"] in {"trigger", "acknowledge", "resolve"}, "event_action")
    payload = fields["payload"]
    may = "timestamp component group class custom_details"
    only(payload, "summary source severity", may)
    text(payload["summary"], 1024)
    text(payload["source"], 1024)
    expect(payload["severity"] in {"critical", "error", "warning", "info"}, "severity")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)"
    expect(re.fullmatch(stamp, payload["timestamp"]) is not None, "timestamp")
    for link in fields.get("links", []):
        only(link, "href", "text")
        address(link["href"])
    answer = {"status": "success", "message": "Event processed", "dedup_key": fields["dedup_key"]}
    return 202, json.dumps(answer)


def ntfy(asked: Asked) -> tuple[int, str]:
    """Publish as JSON: to the root, not to the topic."""
    expect(asked.path == "/", '{"code":40401,"error":"page not found"}', 404)
    fields = asked.json
    only(fields, "topic", "message title tags priority click actions")
    expect(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", fields["topic"]) is not None, "topic invalid")
    expect(len(text(fields["message"], 4096).encode()) <= 4096, "message too large", 413)
    text(fields.get("title", "x"), 250)
    expect(fields.get("priority", 3) in {1, 2, 3, 4, 5}, "priority invalid")
    expect(all(isinstance(tag, str) and "," not in tag for tag in fields.get("tags", [])), "tags")
    if "click" in fields:
        address(fields["click"])
    expect(len(fields.get("actions", [])) <= 3, "too many actions")
    for action in fields.get("actions", []):
        only(action, "action label url", "clear")
        expect(action["action"] == "view", "action")
        address(action["url"])
    return 200, json.dumps({"id": "x", "event": "message", "topic": fields["topic"]})


def gotify(asked: Asked) -> tuple[int, str]:
    """POST /message."""
    expect(asked.path == "/message", '{"error":"Not Found"}', 404)
    expect(asked.headers.get("x-gotify-key") == "A-gotify-token", '{"error":"Unauthorized"}', 401)
    fields = asked.json
    only(fields, "message", "title priority extras")
    text(fields["message"], 100_000)
    expect(isinstance(fields.get("priority", 0), int), "priority")
    for name in fields.get("extras", {}):
        expect(re.fullmatch(r"[a-z]+::[a-z]+", name) is not None, f"extras {name}")
    return 200, json.dumps({"id": 1, "appid": 1, "message": "x"})


def pushover(asked: Asked) -> tuple[int, str]:
    """The message API."""
    expect(asked.path == "/1/messages.json", "Not Found", 404)
    form = asked.form
    only(form, "token user message", "title priority url url_title timestamp")
    for name in ("token", "user"):
        refusal = {name: "invalid", "errors": [f"{name} identifier is invalid"], "status": 0}
        expect(re.fullmatch(r"[A-Za-z0-9]{30}", form[name]) is not None, json.dumps(refusal))
    text(form["message"], 1024)
    text(form.get("title", "x"), 250)
    expect(form.get("priority", "0") in {"-2", "-1", "0", "1"}, "priority")
    if "url" in form:
        address(form["url"], 512)
        text(form["url_title"], 100)
    expect(form.get("timestamp", "1").isdigit(), "timestamp")
    return 200, json.dumps({"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"})
