"""A whole NetPulse with recognisable secrets everywhere, driven through everything it can do.

    drive = Drive(data, "json")
    drive.go()
    drive.leaks()   # where a secret came out that must not

A feature that is added is one function here with `@step`; it says what is secret (`hide`) and where
it is shown once (`shows=`). Whatever is asked for by `call`, `browse` or `command` is looked through
at the end, with every line of the log and every file of the data.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.cookies
import json
import os
import re
import secrets
import socketserver
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import apsw
import pyotp
import trustme

from netpulse.web import routes
from tests.instance import ROOT, SOURCE, Instance, eventually
from tests.tenancy import routes_of

EMAIL = "owner@seeded.example"
VIEWER = "viewer@seeded.example"
INVITED = "invited@seeded.example"

UNWRITTEN = (
    "/v1/auth/refresh",
    "/v1/auth/password/forgot",  # again, within the time in which no second letter goes out
    "/v1/monitors/test",
    "/v1/monitors/{id}/check",
    "/status/{slug}",  # the password of a page, by a stranger
    "/ping/{token}",
    "/api/push/{token}",
)
"""What is answered without changing anything that anybody could ask about: no entry in the log."""
DENIALS = {
    "access.refused",
    "auth.login_failed",
    "auth.refresh_reused",
    "auth.proof_refused",
}
"""What is written where somebody is refused."""
STRANGERS = ("/setup", "/v1/auth/register")
ENTRIES = (
    "SELECT org_id, action FROM audit_logs WHERE rowid > ? AND actor_kind <> 'system'"
    " ORDER BY rowid"
)

Step = Callable[["Drive"], None]
STEPS: list[Step] = []


def step(function: Step) -> Step:
    """Enter a part of the drive; they run in the order in which they stand here."""
    STEPS.append(function)
    return function


class Echo:
    """A web site that says back all that it is told, and refuses it."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                told = self.path + "\n" + str(self.headers) + self.rfile.read(length).decode()
                with contextlib.suppress(ValueError):
                    credentials = self.headers.get("Authorization", "").partition(" ")[2]
                    told += base64.b64decode(credentials).decode("utf-8", "replace")
                self.send_response(500, "No " + self.headers.get("Authorization", "")[:60])
                for name in ("Authorization", "X-Api-Key", "Cookie"):
                    self.send_header(f"X-Told-{name}", self.headers.get(name, ""))
                body = told.encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Letterbox:
    """A mail server in clear that takes any sign-in and keeps what comes."""

    def __init__(self) -> None:
        letters = self.letters = []  # type: list[str]
        said = self.said = []  # type: list[str]

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 letterbox\r\n")
                while line := self.rfile.readline():
                    words = line.decode().strip()
                    said.append(words)
                    verb = words[:4].upper()
                    if verb == "EHLO":
                        self.wfile.write(b"250-letterbox\r\n250 AUTH PLAIN LOGIN\r\n")
                    elif verb == "AUTH":
                        self.wfile.write(b"235 welcome\r\n")
                    elif verb == "DATA":
                        self.wfile.write(b"354 go on\r\n")
                        body = b""
                        while not body.endswith(b"\r\n.\r\n"):
                            body += self.rfile.readline()
                        letters.append(body.decode())
                        self.wfile.write(b"250 queued\r\n")
                    elif verb == "QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    else:
                        self.wfile.write(b"250 ok\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Drive:
    """One instance, its secrets, and all that it has said."""

    def __init__(self, data: Path, form: str) -> None:
        """`form`: how the log is written, text or json."""
        self.instance = Instance(data)
        self.form = form
        self.echo = Echo()
        self.letterbox = Letterbox()
        self.secrets: dict[str, str] = {}
        self.seen: list[tuple[str, str, frozenset[str]]] = []
        """(where, what was said, the secrets that it is there to say)."""
        self.audited: list[tuple[str, int, list[tuple[str, str]]]] = []
        """(what was asked for, the status, the log and the action of each entry it left)."""
        self.cookies: dict[str, str] = {}
        self.token: str | None = None
        self.made: dict[str, str] = {}

    # What is secret

    def seed(self, name: str, prefix: str = "") -> str:
        """Make a secret that nothing else can be taken for."""
        return self.hide(name, prefix + secrets.token_hex(12))

    def hide(self, name: str, value: str) -> str:
        """Enter a secret."""
        assert len(value) >= 8, name
        self.secrets[name] = value
        return value

    def environ(self) -> dict[str, str]:
        """Return the environment: half of the secrets come in by it."""
        return {
            "ENCRYPTION_KEY": self.hide("encryption key", secrets.token_hex(32)),
            "JWT_SECRET": self.seed("jwt secret", "jwt-jwt-jwt-"),
            "TWILIO_SID": "AC" + "1" * 32,
            "TWILIO_AUTH_TOKEN": self.seed("twilio token"),
            "TWILIO_PHONE": "+15005550006",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.letterbox.port),
            "SMTP_USER": "postmaster",
            "SMTP_PASS": self.seed("mail password"),
            "SMTP_FROM": "netpulse@seeded.example",
            "NETPULSE_SMTP_SECURITY": "none",
            "NETPULSE_SERVER_PUBLIC_URL": self.instance.base,
            "NETPULSE_LOG_LEVEL": "debug",
            "NETPULSE_LOG_FORMAT": self.form,
        }

    # What is said

    def note(self, where: str, said: str, shows: tuple[str, ...] = ()) -> None:
        """Keep what was said somewhere."""
        self.seen.append((where, said, frozenset(shows)))

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        shows: tuple[str, ...] = (),
    ) -> tuple[int, str, dict[str, str]]:
        """Make one request; return status, body, and the cookies that it set, which are secrets."""
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.port, timeout=30)
        log = apsw.Connection(
            str(self.instance.data / "netpulse.db"), flags=apsw.SQLITE_OPEN_READONLY
        )
        try:
            before = log.execute("SELECT max(rowid) FROM audit_logs").get or 0
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            got = answer.getheaders()
            entries = [(str(org), str(action)) for org, action in log.execute(ENTRIES, (before,))]
        finally:
            connection.close()
            log.close()
        self.audited.append((f"{method} {path.partition('?')[0]}", answer.status, entries))
        set_now: dict[str, str] = {}
        for name, value in got:
            if name.lower() == "set-cookie":
                for cookie in http.cookies.SimpleCookie(value).values():
                    set_now[cookie.key] = cookie.value
                    if cookie.value:
                        self.hide(f"cookie {cookie.key} {len(self.secrets)}", cookie.value)
        rest = [pair for pair in got if pair[0].lower() != "set-cookie"]
        self.note(f"{method} {path.partition('?')[0]}", f"{rest} {text}", shows)
        return answer.status, text, set_now

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        shows: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Make a request of the API; return the decoded answer."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= headers or {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        _, text, _ = self.raw(method, path, data, sent, shows)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def ok(self, method: str, path: str, body: Any = None, *, shows: tuple[str, ...] = ()) -> Any:
        """Make a request that must succeed; return its `data`."""
        answer = self.call(method, path, body, shows=shows)
        assert answer["success"] is True, (method, path, answer)
        return answer["data"]

    def browse(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        shows: tuple[str, ...] = (),
    ) -> tuple[int, str]:
        """Ask for a page as a browser does, with its cookies."""
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items() if v)}
        headers["Sec-Fetch-Site"] = "same-origin"
        body = None
        if form is not None:
            body = urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, text, cookies = self.raw(method, path, body, headers, shows)
        self.cookies |= cookies
        return status, text

    def command(
        self, *words: str, typed: str | None = None, shows: tuple[str, ...] = (), data: bool = True
    ) -> str:
        """Run a command beside the server; return what it prints."""
        done = subprocess.run(
            [*SOURCE, *words, *(("--data", str(self.instance.data)) if data else ())],
            input=typed,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=ROOT,
            env=os.environ | self._environ,
        )
        said = done.stdout + done.stderr
        self.note(f"netpulse {' '.join(words)}", said, shows)
        return said

    # The drive

    def go(self) -> None:
        """Drive through everything."""
        self._environ = self.environ()
        self.instance.start(environ=self._environ)
        try:
            for each in STEPS:
                each(self)
            self._crawl()
        finally:
            self.instance.stop()
            self.close()

    def close(self) -> None:
        """Leave nothing running."""
        self.instance.close()
        self.echo.close()
        self.letterbox.close()

    def _crawl(self) -> None:
        """Ask for everything that can be asked for by GET, as everybody."""
        tokens = {"owner": self.token, "nobody": None, "viewer": self._viewers_token()}
        for route in routes_of(routes.ROUTES):
            if route.method != "GET" or route.path in {"/live", "/logout"}:
                continue
            values = {}
            for name, noun in route.parameters.items():
                if noun is None:
                    values[name] = "nonsense-token"
                else:
                    values[name] = self._id_of(noun, route.path)
            url = route.url(values)
            # Where a job pings is shown to administrators, again and again.
            owners = ("push token",) if "/monitors" in url else ()
            self.browse("GET", url, shows=owners)
            for who, token in tokens.items():
                self.token = token
                self.call("GET", url, shows=owners if who == "owner" else ())
        self.token = tokens["owner"]

    def _viewers_token(self) -> str:
        body = {"email": VIEWER, "password": self.secrets["viewer's password"]}
        owner, self.token = self.token, None
        answer = self.call("POST", "/v1/auth/login", body, shows=("viewer's token",))
        self.token = owner
        return self.hide("viewer's token", answer["data"]["access_token"])

    def _id_of(self, noun: str, path: str) -> str:
        if noun not in self.made:
            listed = path.partition("/{")[0]
            answer = self.call("GET", listed)
            rows = answer.get("data") if isinstance(answer, dict) else None
            if isinstance(rows, list) and rows:
                self.made[noun] = str(rows[0]["id"])
        return self.made.get(noun, "019b0000-0000-7000-8000-00000000dead")

    # What came of it

    def leaks(self) -> list[str]:
        """Return where a secret came out that must not have."""
        found = []
        log = [line for line in self.instance.output if not line.startswith("  ")]
        announced = [line for line in self.instance.output if line.startswith("  Setup token")]
        assert len(announced) == 1, "the start says the setup token, once"
        said = [*self.seen, *((f"log: {line[:60]}…", line, frozenset[str]()) for line in log)]
        for name, value in self.secrets.items():
            for form in spellings(value):
                found += [
                    f"{name} in {where}"
                    for where, text, shows in said
                    if form in text and name not in shows
                ]
        for file in self.instance.data.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                found += [
                    f"{name} in the file {file.name}"
                    for name, value in self.secrets.items()
                    if value.encode() in content
                ]
        return sorted(set(found))

    def unaudited(self) -> list[str]:
        """Return what was done without an entry in the log, or with one too many; and what was
        refused and stands there as if it had been done."""
        found = []
        for asked, status, entries in self.audited:
            actions = [action for _, action in entries]
            method, path = asked.split()
            if status >= 400:
                denied = len(actions) <= 1 and set(actions) <= DENIALS
                # Of somebody we do not know nothing is kept; nor of the same look once more.
                silent = status != 403 or method == "GET" or path in STRANGERS
                right = denied and (silent or bool(actions))
            elif method == "GET":
                # To look is no deed, but to take all of it along is.
                right = all(action.endswith("exported") for action in actions)
            elif any(_fits(path, one) for one in UNWRITTEN):
                right = len(actions) <= 1
            else:
                # One in each log that it concerns.
                right = bool(actions) and len(set(entries)) == len(entries)
            if not right:
                found.append(f"{asked} {status} {actions}")
        return found

    def log(self) -> list[str]:
        """Return the lines of the log."""
        mark = "{" if self.form == "json" else "20"
        return [line for line in self.instance.output if line.startswith(mark)]


def _fits(path: str, route: str) -> bool:
    """Tell whether a path is one of a route's."""
    parts, wanted = path.split("/"), route.split("/")
    return len(parts) == len(wanted) and all(
        two.startswith("{") or one == two for one, two in zip(parts, wanted, strict=True)
    )


def spellings(value: str) -> Iterator[str]:
    """Yield how a secret may stand in a text."""
    yield value
    yield from {quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]} - {value}
    for encoded in (base64.b64encode(value.encode()), value.encode().hex().encode()):
        # Not the last signs: they depend on what stands behind.
        yield encoded.decode()[: len(encoded) - 4]


# The steps


@step
def set_up(drive: Drive) -> None:
    """The first administrator, after some who guess."""
    token = drive.hide("setup token", drive.instance.setup_token())
    password = drive.seed("owner's password")
    wrong = drive.seed("a wrong setup token")
    body = {"email": EMAIL, "password": password, "org_name": "Seeded", "setup_token": wrong}
    assert drive.call("POST", "/v1/auth/register", body)["success"] is False
    drive.browse("POST", "/setup", {**body, "password": drive.seed("a password at setup")})
    drive.ok("POST", "/v1/auth/register", body | {"setup_token": token})


@step
def sign_in(drive: Drive) -> None:
    """By the API and by the page, wrongly first; refresh; misuse."""
    password = drive.secrets["owner's password"]
    # Five would shut the door.
    wrong = {"email": EMAIL, "password": drive.seed("a wrong password")}
    drive.call("POST", "/v1/auth/login", wrong)
    drive.browse("POST", "/login", wrong)
    body = {"email": EMAIL, "password": password}
    status, text, cookies = drive.raw(
        "POST",
        "/v1/auth/login",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        ("access token",),
    )
    assert status == 200
    drive.hide("access token", json.loads(text)["data"]["access_token"])
    cookie = {"Cookie": f"np_refresh={cookies['np_refresh']}"}
    status, text, _ = drive.raw("POST", "/v1/auth/refresh", b"", cookie, ("second access token",))
    drive.token = drive.hide("second access token", json.loads(text)["data"]["access_token"])
    # Used twice: everything of that sign-in ends.
    drive.raw("POST", "/v1/auth/refresh", b"", cookie)
    drive.token = None
    answer = drive.call("POST", "/v1/auth/login", body, shows=("third access token",))
    drive.token = drive.hide("third access token", answer["data"]["access_token"])
    status, _ = drive.browse("POST", "/login", body)
    assert status == 303
    for headers in (
        {"Authorization": f"Bearer {drive.seed('a forged token')}"},
        {"Authorization": f"Basic {drive.seed('basic credentials')}"},
        {"X-API-Key": drive.hide("an unknown key", "np_abcdefgh_" + "Z9" * 21 + "z")},
        {"Cookie": f"np_session={drive.seed('an unknown session')}"},
    ):
        drive.call("GET", "/v1/monitors", headers=headers)


@step
def people(drive: Drive) -> None:
    """A viewer by the command line, who changes their password."""
    first = drive.seed("viewer's first password")
    words = ("user", "add", VIEWER, "--role", "viewer", "--password-stdin")
    drive.command(*words, typed=first + "\n")
    owner, drive.token = drive.token, None
    answer = drive.call(
        "POST", "/v1/auth/login", {"email": VIEWER, "password": first}, shows=("a viewer's token",)
    )
    drive.token = drive.hide("a viewer's token", answer["data"]["access_token"])
    password = drive.seed("viewer's password")
    wrong = {"current_password": drive.seed("not their password"), "new_password": password}
    drive.call("POST", "/v1/auth/password", wrong)
    drive.ok("POST", "/v1/auth/password", wrong | {"current_password": first})
    drive.token = owner
    drive.command("user", "list")


@step
def second_factor(drive: Drive) -> None:
    """A second factor for somebody who was invited, with wrong codes."""
    asked = drive.ok("POST", "/v1/org/members/invite", {"email": INVITED}, shows=("an invitation",))
    token = drive.hide("an invitation", asked["url"].rpartition("/")[2])
    owner, drive.token = drive.token, None
    drive.browse("GET", f"/invitations/{token}", shows=("an invitation",))
    password = drive.seed("invited password")
    wrong = {"token": drive.seed("a wrong invitation"), "password": password}
    drive.call("POST", "/v1/auth/invitations/accept", wrong)
    drive.call("POST", "/v1/auth/invitations/accept", wrong | {"token": token})
    body = {"email": INVITED, "password": password}
    answer = drive.call("POST", "/v1/auth/login", body, shows=("invited token",))
    drive.token = drive.hide("invited token", answer["data"]["access_token"])
    made = drive.ok("POST", "/v1/auth/2fa/setup", {}, shows=("totp secret",))
    secret = drive.hide("totp secret", made["secret"])
    drive.call("POST", "/v1/auth/2fa/verify", {"code": "000000"})
    shown = drive.ok(
        "POST",
        "/v1/auth/2fa/verify",
        {"code": pyotp.TOTP(secret).now()},
        shows=tuple(f"recovery code {number}" for number in range(10)),
    )
    for number, code in enumerate(shown["recovery_codes"]):
        drive.hide(f"recovery code {number}", code)
    drive.token = None
    drive.call("POST", "/v1/auth/login", body | {"totp_code": drive.seed("a wrong code")})
    drive.call(
        "POST",
        "/v1/auth/login",
        body | {"totp_code": shown["recovery_codes"][0]},
        shows=("recovered token",),
    )
    drive.token = owner


@step
def keys(drive: Drive) -> None:
    """API keys, rotated."""
    scopes = ["monitors:write", "metrics:read", "alerts:read"]
    body = {"name": "Deploy", "scopes": scopes}
    made = drive.ok("POST", "/v1/api-keys", body, shows=("api key",))
    drive.hide("api key", made["key"])
    owner, drive.token = drive.token, None
    for path in ("/v1/monitors", "/metrics", "/v1/org", "/v1/incidents", "/v1/nothing"):
        drive.call("GET", path, headers={"X-API-Key": made["key"]})
    drive.token = owner
    again = drive.ok("POST", f"/v1/api-keys/{made['id']}/rotate", shows=("second api key",))
    drive.hide("second api key", again["key"])


@step
def watch(drive: Drive) -> None:
    """Monitors with secrets of every kind, whose targets say them all back."""
    password = drive.seed("basic password")
    drive.hide("basic header", base64.b64encode(f"al:{password}".encode()).decode())
    key = trustme.CA().issue_cert("client.example")
    client_key = key.private_key_pem.bytes().decode()
    drive.hide("client key", client_key.splitlines()[3])
    specs: list[dict[str, Any]] = [
        {
            "auth": {"type": "basic", "username": "al", "password": password},
            "headers": {"X-Api-Key": drive.seed("header key"), "Cookie": drive.seed("a cookie")},
        },
        {"auth": {"type": "bearer", "token": drive.seed("bearer token")}},
        {"headers": {"Authorization": f"Token {drive.seed('authorization header')}"}},
        {"target": drive.echo.url.replace("://", f"://al:{drive.seed('userinfo')}@")},
        {
            "client_certificate": key.cert_chain_pems[0].bytes().decode(),
            "client_key": client_key,
            "target": drive.echo.url.replace("http:", "https:"),
        },
    ]
    for number, fields in enumerate(specs):
        spec = {
            "type": "http",
            "name": f"Echo {number}",
            "target": drive.echo.url,
            "interval_seconds": 10,
            "confirmations": 1,
            "body_match": "never there",
        } | fields
        made = drive.ok("POST", "/v1/monitors", spec)
        drive.made["monitor"] = made["id"]
        drive.ok("POST", f"/v1/monitors/{made['id']}/check")
        drive.ok("POST", "/v1/monitors/test", spec)
        drive.ok("PUT", f"/v1/monitors/{made['id']}", made | {"description": "changed"})
        # Mistakes beside the secrets.
        drive.call("POST", "/v1/monitors", spec | {"interval_seconds": 1, "nonsense": 1})
        _by_the_page(drive, f"/monitors/{made['id']}/edit", {"name": ""})
    job = {"type": "push", "name": "Job", "interval_seconds": 3600}
    made = drive.ok("POST", "/v1/monitors", job, shows=("push token",))
    token = drive.hide("push token", made["ping_url"].removeprefix("/ping/"))
    for path in (f"/ping/{token}", f"/ping/{token}/fail", f"/api/push/{token}?status=down"):
        drive.call("GET", path)
    drive.call("GET", f"/ping/{drive.seed('an unknown push token')}")
    drive.call("POST", f"/api/push/{drive.seed('another unknown push token')}")
    drive.call("PUT", f"/ping/{token}")


@step
def alert(drive: Drive) -> None:
    """Channels of every type whose far side says everything back, and fails."""
    url, hook = drive.echo.url, "/services/T0/B0/"
    whole = "webhook signing secret"
    drive.hide(whole, "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode())
    configs: dict[str, dict[str, Any]] = {
        "webhook": {
            "url": f"{url}/hook",
            "secret": drive.secrets[whole],
            "headers": {"X-Api-Key": drive.seed("webhook header")},
        },
        "email": {
            "to": ["ops@seeded.example"],
            "smtp": {
                "host": "127.0.0.1",
                "port": drive.letterbox.port,
                "user": "channel",
                "password": drive.seed("channel's mail password"),
                "from": "channel@seeded.example",
                "security": "none",
            },
        },
        "slack": {"webhook_url": f"{url}{hook}{drive.seed('slack hook')}"},
        "discord": {"webhook_url": f"{url}/api/webhooks/1/{drive.seed('discord hook')}"},
        "teams": {"webhook_url": f"{url}/workflows/{drive.seed('teams hook')}"},
        "telegram": {"bot_token": "12345:" + drive.seed("bot"), "chat_id": "1", "api_url": url},
        "sms": {
            "to": ["+4915112345678"],
            "from": "+15005550006",
            "account_sid": "AC" + "2" * 32,
            "auth_token": drive.seed("sms token"),
            "api_url": url,
        },
        "pagerduty": {
            "routing_key": drive.hide("routing key", secrets.token_hex(16)),
            "api_url": url,
        },
        "ntfy": {"url": url, "topic": "seeded", "token": drive.seed("ntfy token")},
        "gotify": {"url": url, "token": drive.seed("gotify token")},
        "pushover": {
            "user": drive.hide("pushover user", secrets.token_hex(15)),
            "token": drive.hide("pushover token", secrets.token_hex(15)),
            "api_url": url,
        },
    }
    for word, config in configs.items():
        channel = {"name": f"To {word}", "type": word, "config": config, "max_attempts": 3}
        made = drive.ok("POST", "/v1/alert-channels", channel)
        drive.made["alert_channel"] = made["id"]
        drive.ok("POST", "/v1/alert-rules", {"channel_id": made["id"], "cooldown_seconds": 0})
        drive.ok("POST", f"/v1/alert-channels/{made['id']}/test")
        drive.ok("PUT", f"/v1/alert-channels/{made['id']}", made)
        drive.call("PUT", f"/v1/alert-channels/{made['id']}", made | {"nonsense": 1})
        _by_the_page(drive, f"/alerts/channels/{made['id']}", {"name": ""})
    target = {"type": "http", "name": "Down", "target": url, "confirmations": 1}
    monitor = drive.ok("POST", "/v1/monitors", target | {"interval_seconds": 10})
    path = f"/v1/alert-events?limit=100&monitor_id={monitor['id']}"

    def told() -> bool:
        tried = [each for each in drive.ok("GET", path) if each["attempts"]]
        return len({each["channel_id"] for each in tried}) == len(configs)

    eventually("every channel was tried", told, 40)


@step
def forgotten_password(drive: Drive) -> None:
    """A link by mail, for an address that is known and one that is not."""
    owner, drive.token = drive.token, None
    for email in (VIEWER, "nobody@seeded.example"):
        drive.call("POST", "/v1/auth/password/forgot", {"email": email})

    def link() -> str | None:
        for letter in drive.letterbox.letters:
            plain = letter.replace("=\r\n", "").replace("=3D", "=")
            found = re.search(r"/(?:password/)?reset/([\w-]{20,})", plain)
            if found and VIEWER in letter:
                return found[1]
        return None

    token = drive.hide("reset token", eventually("a letter with a link", link))
    password = drive.secrets["viewer's password"]
    body = {"token": drive.seed("a wrong reset token"), "password": drive.seed("reset password")}
    drive.call("POST", "/v1/auth/password/reset", body)
    drive.call("POST", "/v1/auth/password/reset", {**body, "token": token})
    drive.secrets["viewer's password"], drive.secrets["viewer's old password"] = (
        body["password"],
        password,
    )
    drive.token = owner


@step
def show(drive: Drive) -> None:
    """A status page with a password, right and wrong, and what hangs on it."""
    password = drive.seed("status page's password")
    body = {
        "slug": "seeded",
        "title": "Status",
        "password": password,
        "groups": [{"name": "All", "monitors": [{"monitor_id": drive.made["monitor"]}]}],
    }
    made = drive.ok("POST", "/v1/status-pages", body)
    page = f"/v1/status-pages/{made['id']}"
    drive.ok("PUT", page, {**made, "password": None, "title": "Status of all"})
    drive.call("PUT", page, {**body, "nonsense": 1})
    drive.ok("POST", f"{page}/announcements", {"title": "News"})
    typed = {"password": drive.seed("a wrong password of a status page")}
    drive.browse("POST", "/status/seeded", typed)
    drive.browse("POST", "/status/seeded", {"password": password})
    for path in ("/status/seeded", "/status/seeded/feed.atom", "/status/seeded/badge.svg"):
        drive.browse("GET", path)
        drive.raw("GET", path)


@step
def provide(drive: Drive) -> None:
    """A client, somebody who is let in, and a way there and back."""
    client = drive.ok("POST", "/v1/org/clients", {"name": "Client"})["id"]
    people = drive.ok("GET", "/v1/org/members")
    viewer = next(each["id"] for each in people if each["email"] == VIEWER)
    path = f"/v1/org/clients/{client}/grants/{viewer}"
    drive.ok("PUT", path, {"role": "viewer"})
    drive.browse("POST", "/switch", {"org_id": client})
    drive.browse("GET", "/dashboard")
    drive.browse("POST", "/switch", {"org_id": drive.ok("GET", "/v1/org")["id"]})
    drive.ok("DELETE", path)
    drive.ok("DELETE", f"/v1/org/clients/{client}")


@step
def export(drive: Drive) -> None:
    """The audit log, in every form."""
    for form in ("csv", "jsonl"):
        said = drive.call("GET", f"/v1/audit-logs/export?format={form}")
        assert "alert_channel.created" in str(said)
        drive.browse("POST", "/settings/audit/export", {"format": form})


@step
def look_after(drive: Drive) -> None:
    """The commands beside the server, and what makes errors."""
    for words in (
        ("config", "check"),
        ("doctor",),
        ("doctor", "--json"),
        ("user", "list"),
        ("user", "list", "--nonsense"),
    ):
        drive.command(*words)
    drive.command("version", data=False)
    backup = drive.instance.data.with_name("backup.zip")
    drive.command("backup", str(backup))
    with zipfile.ZipFile(backup) as archive:
        manifests = [name for name in archive.namelist() if "manifest" in name.lower()]
        assert manifests, archive.namelist()
        for name in manifests:
            drive.note(f"the backup's {name}", archive.read(name).decode())
    for path in (
        "/nothing",
        "/v1/nothing",
        "/monitors/nonsense",
        f"/x?token={drive.seed('in a query')}",
    ):
        drive.browse("GET", path)
        drive.call("DELETE", path)


def _by_the_page(drive: Drive, path: str, wrong: dict[str, str]) -> None:
    """Send a page's form with a mistake, so that it is shown again."""
    drive.browse("GET", path)
    drive.browse("POST", path, wrong)
