"""A monitor's configuration: every problem with its path, one stored form, no secret let out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from netpulse.model.monitor import (
    TYPES,
    BasicAuth,
    BearerAuth,
    HttpSpec,
    MonitorSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.rules.monitors import (
    Problem,
    is_secret_header,
    join_secrets,
    keep_secrets,
    normalised,
    problems,
    redacted,
    split_secrets,
    strip_read_only,
)

PASSWORD = "not-to-be-seen-1"
TOKEN = "not-to-be-seen-2"


def pair() -> tuple[str, str, str]:
    """Return a self-signed certificate, its key, and its key under a passphrase (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime(2025, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    locked = BestAvailableEncryption(b"x")
    return (
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode(),
    )


CERTIFICATE, KEY, LOCKED = pair()
OTHER_CERTIFICATE, _, _ = pair()


def spec(kind: str = "http", **fields: Any) -> MonitorSpec:
    """Return a spec as the border reads it: from JSON, types checked."""
    hosts = dict.fromkeys(("ssl", "icmp", "dns"), "shop.example")
    targets = hosts | {"tcp": "db.example:5432", "push": ""}
    target = targets.get(kind, "https://shop.example/")
    raw = {"type": kind, "name": "shop", "target": target} | fields
    read: MonitorSpec = msgspec.json.decode(msgspec.json.encode(raw), type=MonitorSpec)
    return read


def http(**fields: Any) -> HttpSpec:
    read = spec("http", **fields)
    assert isinstance(read, HttpSpec)
    return read


@pytest.mark.parametrize("kind", TYPES)
def test_the_simplest_monitor_has_no_problem(kind: str) -> None:
    assert problems(spec(kind)) == []


def test_an_ssl_monitor_is_told_where_to_connect_in_one_way() -> None:
    for target, port, found in (
        ("shop.example", 443, ("shop.example", 443)),
        ("Shop.example:8443", 443, ("shop.example", 8443)),
        ("shop.example:8443", 8443, ("shop.example", 8443)),
        ("[2001:DB8::1]:993", 443, ("2001:db8::1", 993)),
        ("2001:db8::1", 443, ("2001:db8::1", 443)),
        ("192.0.2.7", 465, ("192.0.2.7", 465)),
    ):
        read = normalised(spec("ssl", target=target, port=port))
        assert isinstance(read, SslSpec)
        assert (read.target, read.port) == found
        assert problems(read) == []
        assert normalised(read) == read


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"target": "https://shop.example/"}, "$.target", "without a scheme"),
        ({"target": "shop.example:1", "port": 2}, "$.target", "port 1 and port says 2"),
        ({"target": "shop.example:0"}, "$.target", "0 is not a port"),
        ({"target": "me@shop.example"}, "$.target", "no user name"),
        ({"target": "fe80::1%eth0"}, "$.target", "zone id"),
        ({"target": "shop example"}, "$.target", "space"),
        ({"server_name": "a b"}, "$.server_name", "space"),
        ({"ca_certificate": "no"}, "$.ca_certificate", "not a certificate in PEM form"),
    ],
)
def test_what_an_ssl_monitor_cannot_be(fields: dict[str, Any], path: str, words: str) -> None:
    (problem,) = problems(normalised(spec("ssl", **{"target": "shop.example"} | fields)))
    assert problem.path == path
    assert words in problem.message


def test_a_monitor_with_every_field_has_no_problem() -> None:
    full = http(
        description="x",
        runbook_url="https://wiki.example/shop",
        group="web",
        tags=["a", "b"],
        interval_seconds=10,
        timeout_seconds=10,
        confirmations=10,
        recoveries=10,
        retry_interval_seconds=10,
        degraded_after_ms=9_999,
        invert=True,
        is_paused=True,
        method="POST",
        headers={"Host": "shop.example:8080", "X-Api-Key": "k", "Accept": "a\tb"},
        body="{}",
        expected_status=[200, "300-399"],
        body_match="a",
        body_not_match="b",
        body_regex="c",
        json_path="$.a",
        json_value=None,
        follow_redirects=False,
        max_redirects=0,
        verify_tls=False,
        ca_certificate=CERTIFICATE + OTHER_CERTIFICATE,
        client_certificate=CERTIFICATE + OTHER_CERTIFICATE,
        client_key=KEY,
        auth={"type": "bearer", "token": TOKEN},
        ip_version=6,
        alert_days_before_expiry=30,
    )

    assert problems(full) == []


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("http", {"name": "  "}, "$.name", "the name is empty"),
    ("http", {"name": "a\nb"}, "$.name", "has a line break or another control character"),
    ("http", {"tags": ["a", " "]}, "$.tags[1]", "the tag is empty"),
    ("http", {"runbook_url": "javascript:alert(1)"}, "$.runbook_url", "a URL starts with http:// or https://, such as https://shop.example/"),
    ("http", {"runbook_url": "javascript://x/%0aalert(1)"}, "$.runbook_url", "the scheme is javascript; use http or https"),
    ("tcp", {"interval_seconds": 10, "timeout_seconds": 11}, "$.timeout_seconds", "11 is above interval_seconds (10)"),
    ("tcp", {"interval_seconds": 10, "retry_interval_seconds": 11}, "$.retry_interval_seconds", "11 is above interval_seconds (10)"),
    # targets
    ("http", {"target": "shop.example"}, "$.target", "a URL starts with http:// or https://, such as https://shop.example/"),
    ("http", {"target": "http://①②⑦.⓪.⓪.①"}, "$.target", "the host has the sign ①; write plain digits, dots and colons"),
    ("http", {"target": "http://shop.example:0"}, "$.target", "port 0 cannot be connected to; use 1 to 65535"),
    ("http", {"target": "http://[fe80::1%25eth0]/"}, "$.target", "the host has a % in it; zone ids and encoded hosts are not supported"),
    ("http", {"target": "http://a b/"}, "$.target", "it has a space or control character at column 9"),
    ("https", {"target": "http://shop.example"}, "$.target", "an https monitor needs an https:// target"),
    ("tcp", {"target": "db.example"}, "$.target", "the target has no port: write host:port, or set port"),
    ("tcp", {"port": 1}, "$.target", "the target says port 5432 and port says 1: give one"),
    ("http", {"ip_version": 5}, "$.ip_version", "5 is neither 4, 6 nor null"),
    ("http", {"ip_version": 4, "target": "http://[::1]/"}, "$.ip_version", "the target is an IPv6 address"),
    ("http", {"ip_version": 6, "target": "http://127.0.0.1/"}, "$.ip_version", "the target is an IPv4 address"),
    ("http", {"target": "https://u:p@shop.example", "auth": {"type": "basic", "username": "v"}}, "$.target", "the target has a user name, and auth is set too: give one"),
    ("http", {"target": "https://a%3Ab:p@shop.example"}, "$.target", "a user name has no colon (RFC 7617)"),
    # request
    ("http", {"method": "CONNECT"}, "$.method", "CONNECT asks for a tunnel; use a tcp monitor"),
    ("http", {"headers": {"a b": "c"}}, "$.headers.a b", "is not a header name: letters, digits and - only (RFC 9110)"),
    ("http", {"headers": {"": "c"}}, "$.headers.", "is not a header name: letters, digits and - only (RFC 9110)"),
    ("http", {"headers": {"X\r\nY": "c"}}, "$.headers.X\r\nY", "is not a header name: letters, digits and - only (RFC 9110)"),
    ("http", {"headers": {"Ä": "c"}}, "$.headers.Ä", "is not a header name: letters, digits and - only (RFC 9110)"),
    ("http", {"headers": {"X": "a\r\nY: b"}}, "$.headers.X", "has a line break or another control character"),
    ("http", {"headers": {"X": "a\x00"}}, "$.headers.X", "has a line break or another control character"),
    ("http", {"headers": {"Content-Length": "5"}}, "$.headers.Content-Length", "is set by NetPulse itself"),
    ("http", {"headers": {"transfer-encoding": "chunked"}}, "$.headers.transfer-encoding", "is set by NetPulse itself"),
    ("http", {"headers": {"Connection": "close"}}, "$.headers.Connection", "is set by NetPulse itself"),
    ("http", {"headers": {"X": "a", "x": "b"}}, "$.headers.x", "is there twice"),
    ("http", {"headers": {"X": None}}, "$.headers.X", "has no value"),
    ("http", {"headers": {"Host": "shop.example/x"}}, "$.headers.Host", "is not a host, such as shop.example or shop.example:8080"),
    ("http", {"headers": {"Host": ""}}, "$.headers.Host", "is not a host, such as shop.example or shop.example:8080"),
    ("http", {"headers": {"Authorization": "x"}, "auth": {"type": "basic", "username": "v"}}, "$.auth", "an Authorization header is set too: give one"),
    ("http", {"auth": {"type": "bearer"}}, "$.auth.token", "the token is missing"),
    ("http", {"auth": {"type": "bearer", "token": "a b"}}, "$.auth.token", "a token has neither spaces nor signs outside ASCII"),
    ("http", {"auth": {"type": "bearer", "token": "a\n"}}, "$.auth.token", "a token has neither spaces nor signs outside ASCII"),
    ("http", {"auth": {"type": "basic", "username": "a:b"}}, "$.auth.username", "a user name has no colon (RFC 7617)"),
    ("http", {"auth": {"type": "basic", "username": "a\n"}}, "$.auth.username", "has a line break or another control character"),
    ("http", {"auth": {"type": "basic", "username": "a", "password": "\n"}}, "$.auth.password", "has a line break or another control character"),
    # expectations
    ("http", {"expected_status": "2xx"}, "$.expected_status", '2xx is neither a status such as 200 nor a range such as "200-299"'),
    ("http", {"expected_status": "299-200"}, "$.expected_status", "299-200 is empty: write the smaller number first"),
    ("http", {"expected_status": [200, "20-30"]}, "$.expected_status[1]", '20-30 is neither a status such as 200 nor a range such as "200-299"'),
    ("http", {"expected_status": []}, "$.expected_status", "the list is empty: no answer would ever be right"),
    ("http", {"method": "HEAD", "body_match": "a"}, "$.body_match", "the answer to HEAD has no body; use GET"),
    ("http", {"method": "HEAD", "json_path": "$"}, "$.json_path", "the answer to HEAD has no body; use GET"),
    ("http", {"body_regex": "(?=a)"}, "$.body_regex", "RE2 does not take it: invalid perl operator: (?="),
    ("http", {"body_regex": "((((a?b?){1,10}){1,10}){1,9}c)"}, "$.body_regex", "RE2 does not take it: the pattern is too large: use smaller repetitions"),
    ("http", {"json_path": "status"}, "$.json_path", "a JSONPath starts with $, such as $.status"),
    ("http", {"json_path": "$[?match(@.a, @.b)]"}, "$.json_path", "the pattern of match() must be written out as a string (column 4)"),
    ("http", {"json_value": None}, "$.json_value", "is compared with json_path, which is not set"),
    ("http", {"json_path": "$", "json_value": "x" * 17_000}, "$.json_value", "is larger than 16 KiB"),
    # TLS
    ("http", {"ca_certificate": "x"}, "$.ca_certificate", "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"),
    ("http", {"ca_certificate": KEY}, "$.ca_certificate", "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"),
    ("http", {"client_certificate": CERTIFICATE}, "$.client_key", "the client certificate needs its key"),
    ("http", {"client_key": KEY}, "$.client_certificate", "the client key needs its certificate"),
    ("http", {"client_certificate": "x", "client_key": KEY}, "$.client_certificate", "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"),
    ("http", {"client_certificate": CERTIFICATE, "client_key": "x"}, "$.client_key", "is not a private key in PEM form (-----BEGIN PRIVATE KEY-----)"),
    ("http", {"client_certificate": CERTIFICATE, "client_key": LOCKED}, "$.client_key", "is encrypted; give it without a passphrase"),
    ("http", {"client_certificate": OTHER_CERTIFICATE, "client_key": KEY}, "$.client_key", "does not belong to the client certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "path", "message"), CASES)
def test_a_problem(kind: str, fields: dict[str, Any], path: str, message: str) -> None:
    assert problems(spec(kind, **fields)) == [Problem(path, message)]


def test_a_value_that_is_nested_too_deeply() -> None:
    deep: Any = 1
    for _ in range(51):
        deep = [deep]
    assert problems(http(json_path="$", json_value=deep)) == [
        Problem("$.json_value", "is nested deeper than 50 levels"),
    ]
    assert problems(http(json_path="$", json_value=deep[0])) == []


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        http(
            name=" ",
            target="x",
            interval_seconds=10,
            timeout_seconds=20,
            ip_version=5,
            headers={"a b": "x", "Te": "y"},
            expected_status="x-y",
            body_regex="(",
            json_path="x",
            ca_certificate="x",
        )
    )

    assert [problem.path for problem in found] == [
        "$.name",
        "$.timeout_seconds",
        "$.ip_version",
        "$.target",
        "$.headers.a b",
        "$.headers.Te",
        "$.expected_status",
        "$.body_regex",
        "$.json_path",
        "$.ca_certificate",
    ]


# ------------------------------------------------------------------ one form


def test_the_stored_form() -> None:
    stored = normalised(
        http(
            name=" shop ",
            target=" HTTPS://Shop.Example/a#b ",
            group=" web ",
            tags=[" a", "b ", "a"],
            runbook_url=" https://wiki.example ",
            headers={"X": " a\t"},
        )
    )

    assert isinstance(stored, HttpSpec)
    assert stored == http(
        target="https://shop.example/a",
        group="web",
        tags=["a", "b"],
        runbook_url="https://wiki.example",
        headers={"X": "a"},
    )
    assert normalised(stored) == stored


def test_userinfo_moves_to_auth() -> None:
    stored = normalised(http(target="https://al%40ice:p%3Ass@shop.example/x"))

    assert isinstance(stored, HttpSpec)
    assert stored.target == "https://shop.example/x"
    assert stored.auth == BasicAuth(username="al@ice", password="p:ss")
    assert problems(stored) == []

    stored = normalised(http(target="https://alice@shop.example/x"))
    assert isinstance(stored, HttpSpec)
    assert stored.auth == BasicAuth(username="alice")


def test_what_cannot_be_read_stays_for_the_problems() -> None:
    both = http(target="https://u:p@shop.example", auth={"type": "basic", "username": "v"})
    assert normalised(both) == both
    assert [problem.path for problem in problems(normalised(both))] == ["$.target"]

    wrong = http(target="nonsense")
    assert normalised(wrong) == wrong


def test_a_tcp_target_keeps_its_form() -> None:
    stored = normalised(spec("tcp", target=" DB.example ", port=5432))

    assert isinstance(stored, TcpSpec)
    assert (stored.target, stored.port) == ("DB.example", 5432)
    assert problems(stored) == []


# ------------------------------------------------------------------ secrets

SECRET = http(
    headers={"Authorization": TOKEN, "X-Api-Key": TOKEN, "Cookie": TOKEN, "Accept": "*/*"},
    client_certificate=CERTIFICATE,
    client_key=KEY,
    body="hello",
)
BASIC = http(auth={"type": "basic", "username": "alice", "password": PASSWORD})
BEARER = http(auth={"type": "bearer", "token": TOKEN})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Authorization", True),
        ("authorization", True),
        ("Proxy-Authorization", True),
        ("Cookie", True),
        ("X-API-Key", True),
        ("X-Auth-Token", True),
        ("Client-Secret", True),
        ("Monkey", True),
        ("Accept", False),
        ("X-Request-Id", False),
    ],
)
def test_which_headers_are_secret(name: str, secret: bool) -> None:
    assert is_secret_header(name) is secret


@pytest.mark.parametrize("whole", [SECRET, BASIC, BEARER, http(), spec("tcp")])
def test_secrets_part_and_join_again(whole: MonitorSpec) -> None:
    bare, secrets = split_secrets(whole)
    stored = msgspec.json.encode(bare)

    assert b"not-to-be-seen" not in stored
    assert b"PRIVATE KEY" not in stored
    read: MonitorSpec = msgspec.json.decode(stored, type=MonitorSpec)
    assert join_secrets(read, secrets) == whole


def test_the_paths_of_secrets() -> None:
    assert split_secrets(SECRET)[1].keys() == {
        "headers.Authorization",
        "headers.X-Api-Key",
        "headers.Cookie",
        "client_key",
    }
    assert split_secrets(BASIC)[1] == {"auth.password": PASSWORD}
    assert split_secrets(BEARER)[1] == {"auth.token": TOKEN}


def test_what_is_answered_has_no_secret() -> None:
    answer = redacted(SECRET)

    assert answer["client_key"] is None
    assert answer["client_key_set"] is True
    assert answer["client_certificate"] == CERTIFICATE
    assert answer["headers"] == {
        "Authorization": None,
        "X-Api-Key": None,
        "Cookie": None,
        "Accept": "*/*",
    }
    assert answer["headers_set"] == {"Authorization": True, "X-Api-Key": True, "Cookie": True}
    assert answer["type"] == "http"
    assert answer["body"] == "hello"
    assert "json_value" not in answer
    assert b"not-to-be-seen" not in msgspec.json.encode(answer)

    assert redacted(BASIC)["auth"] == {
        "type": "basic",
        "username": "alice",
        "password": None,
        "password_set": True,
    }
    assert redacted(BEARER)["auth"] == {"type": "bearer", "token": None, "token_set": True}
    assert redacted(http())["client_key_set"] is False
    assert redacted(http())["headers_set"] == {}
    assert redacted(http(json_path="$", json_value=None))["json_value"] is None
    assert redacted(spec("tcp"))["target"] == "db.example:5432"


def test_a_body_is_for_admins() -> None:
    answer = redacted(SECRET, for_admin=False)

    assert (answer["body"], answer["body_set"]) == (None, True)
    assert redacted(http(), for_admin=False)["body_set"] is False


def test_a_target_with_userinfo_is_not_answered_either() -> None:
    assert redacted(http(target=f"https://alice:{PASSWORD}@shop.example"))["target"] == (
        "https://shop.example"
    )


@pytest.mark.parametrize("whole", [SECRET, BASIC, BEARER, http(json_path="$", json_value=0)])
def test_what_was_answered_can_be_put_back(whole: MonitorSpec) -> None:
    answer = {
        **redacted(whole),
        "id": "x",
        "org_id": "y",
        "status": "up",
        "status_since": None,
        "last_check": None,
        "created_by": None,
        "created_at": "2025-01-01T00:00:00Z",
        "version": 3,
    }

    sent = strip_read_only(msgspec.json.decode(msgspec.json.encode(answer)))
    read = msgspec.convert(sent, type=MonitorSpec)

    assert keep_secrets(read, whole) == whole


def test_other_unknown_fields_stay_for_the_border_to_refuse() -> None:
    raw = {"name": "x", "colour": "red", "auth": {"type": "basic", "x_set": True}, "key_set": 1}

    assert strip_read_only(raw) == raw
    assert strip_read_only({"auth": None, "id": 1}) == {"auth": None}


def test_null_keeps_and_an_empty_text_clears() -> None:
    null = http(auth={"type": "basic", "username": "bob", "password": None})
    empty = http(auth={"type": "basic", "username": "bob", "password": ""})
    other = http(auth={"type": "basic", "username": "bob", "password": "new"})

    assert keep_secrets(null, BASIC) == http(
        auth={"type": "basic", "username": "bob", "password": PASSWORD}
    )
    assert keep_secrets(empty, BASIC) == null
    assert keep_secrets(other, BASIC) == other
    assert keep_secrets(http(), BASIC) == http(), "without auth there is no password to keep"
    assert keep_secrets(null, BEARER) == null, "a token is no password"
    assert keep_secrets(http(auth={"type": "bearer"}), BEARER) == BEARER


def test_secret_headers_are_kept_by_name() -> None:
    new = http(headers={"authorization": None, "Cookie": "", "X-Api-Key": "new", "X-Token": None})

    kept = keep_secrets(new, SECRET)

    assert isinstance(kept, HttpSpec)
    assert kept.headers == {"authorization": TOKEN, "X-Api-Key": "new", "X-Token": None}
    assert problems(kept) == [Problem("$.headers.X-Token", "has no value")]


def test_a_header_that_was_not_secret_is_not_kept() -> None:
    kept = keep_secrets(http(headers={"Accept": None}), SECRET)

    assert problems(kept) == [Problem("$.headers.Accept", "has no value")]


def test_the_client_key_goes_with_its_certificate() -> None:
    kept = keep_secrets(http(client_certificate=CERTIFICATE), SECRET)
    assert isinstance(kept, HttpSpec)
    assert kept.client_key == KEY

    gone = keep_secrets(http(), SECRET)
    assert isinstance(gone, HttpSpec)
    assert gone.client_key is None
    assert problems(gone) == []

    cleared = keep_secrets(http(client_certificate=CERTIFICATE, client_key=""), SECRET)
    assert [problem.path for problem in problems(cleared)] == ["$.client_key"]

    exchanged = keep_secrets(http(client_certificate=OTHER_CERTIFICATE), SECRET)
    assert problems(exchanged) == [
        Problem("$.client_key", "does not belong to the client certificate")
    ]


def test_an_empty_secret_is_none_when_a_monitor_is_made() -> None:
    made = normalised(
        http(
            auth={"type": "bearer", "token": ""},
            client_key="",
            headers={"Cookie": "", "Accept": ""},
        )
    )

    assert isinstance(made, HttpSpec)
    assert made.auth == BearerAuth(token=None)
    assert made.client_key is None
    assert made.headers == {"Accept": ""}


def test_another_type_keeps_nothing() -> None:
    assert keep_secrets(spec("tcp"), BASIC) == spec("tcp")
    assert keep_secrets(BASIC, spec("tcp")) == BASIC
