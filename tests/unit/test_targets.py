"""Targets: what is dialled, and what is refused before it could be read in two ways."""

from __future__ import annotations

import pytest

from netpulse.rules.targets import Endpoint, TargetError, endpoint, host, shown, url


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("http://shop.example", "http://shop.example"),
        ("HTTPS://Shop.Example/Path", "https://shop.example/Path"),
        ("https://shop.example/a?b=c#d", "https://shop.example/a?b=c"),
        ("http://127.0.0.1:8080/health", "http://127.0.0.1:8080/health"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("http://三菱.example/", "http://xn--ehq172k.example/"),
        ("http://host_name.example./", "http://host_name.example./"),
        ("http://a.example/?x=%20b+c&d=%2B", "http://a.example/?x=%20b+c&d=%2B"),
        ("http://a.example/a%2Fb", "http://a.example/a%2Fb"),
        ("http://a.example/@b", "http://a.example/@b"),
    ],
)
def test_a_url_is_read_once_in_one_way(text: str, read: str) -> None:
    assert str(url(text)) == read
    assert str(url(read)) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shop.example", "a URL starts with http:// or https://, such as https://shop.example/"),
        ("", "a URL starts with http:// or https://, such as https://shop.example/"),
        ("ftp://shop.example", "the scheme is ftp; use http or https"),
        ("file:///etc/passwd", "the scheme is file; use http or https"),
        ("x?y=http://shop.example", "the scheme is x?y=http; use http or https"),
        ("http://", "the URL has no host"),
        ("http:///path", "the URL has no host"),
        ("http://[]@/", "the URL has no host"),
        ("http://[x]@", None),
        ("http://:80/", "the URL has no host"),
        ("http://shop.example:0/", "port 0 cannot be connected to; use 1 to 65535"),
        ("http://shop.example:65536/", "not a URL: Port out of range 0-65535"),
        ("http://shop.example:80a/", None),
        ("http://sh op.example/", "it has a space or control character at column 10"),
        ("http://shop.example/a b", "it has a space or control character at column 22"),
        ("http://shop.example/\r\nX: y", "it has a space or control character at column 21"),
        ("http://shop.example/\x00", "it has a space or control character at column 21"),
        ("http://shop\u200b.example/", "it has a space or control character at column 12"),
        ("http://shop\u00a0.example/", "it has a space or control character at column 12"),
        ("http://①②⑦.⓪.⓪.①/", "the host has the sign ①; write plain digits, dots and colons"),
        ("http://１２７.0.0.1/", "the host has the sign １; write plain digits, dots and colons"),
        ("http://١٢٧.0.0.1/", "the host has the sign ١; write plain digits, dots and colons"),
        ("http://127。0。0。1/", "the host has the sign 。; write plain digits, dots and colons"),
        ("http://shop．example/", "the host has the sign ．; write plain digits, dots and colons"),
        ("http://evil／shop.example/", None),
        ("http://evil＠shop.example/", None),
        ("://x", "the scheme is missing; use http or https"),
        ("http://[fe80::1%25eth0]/", "the host has a % in it; zone ids and encoded hosts are not supported"),
        ("http://[fe80::1%eth0]/", "the host has a % in it; zone ids and encoded hosts are not supported"),
        ("http://%31%32%37.0.0.1/", "the host has a % in it; zone ids and encoded hosts are not supported"),
        ("http://127.1/", "127.1 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://2130706433/", "2130706433 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://0x7f.1/", "0x7f.1 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://0x7f000001/", "0x7f000001 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://0177.0.0.1/", "0177.0.0.1 is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://127.0.0.1./", "127.0.0.1. is not an address: write four decimal numbers, such as 192.0.2.7"),
        ("http://300.1.1.1/", None),
        ("http://[::1/", None),
        ("http://::1/", None),
        ("http://-shop.example/", "-shop.example is not a host name"),
        ("http://shop..example/", None),
        ("http://shop,example/", "shop,example is not a host name"),
        ("http://" + "a" * 64 + ".example/", None),
        ("http://a@b@shop.example/", "the URL has more than one @ before its path; write %40 for one"),
        ("http://shop.example\\@evil.example/", None),
    ],
)  # fmt: skip
def test_a_url_that_is_refused(text: str, message: str | None) -> None:
    with pytest.raises(TargetError) as caught:
        url(text)

    assert message is None or str(caught.value) == message


@pytest.mark.parametrize(
    ("target", "port", "read"),
    [
        ("db.example:5432", None, Endpoint("db.example", 5432)),
        ("DB.example", 5432, Endpoint("db.example", 5432)),
        ("db.example:5432", 5432, Endpoint("db.example", 5432)),
        (" 192.0.2.7:22 ", None, Endpoint("192.0.2.7", 22)),
        ("[2001:DB8::1]:22", None, Endpoint("2001:db8::1", 22)),
        ("[2001:db8::1]", 22, Endpoint("2001:db8::1", 22)),
        ("2001:db8::1", 22, Endpoint("2001:db8::1", 22)),
        ("[::ffff:127.0.0.1]:22", None, Endpoint("::ffff:7f00:1", 22)),
        ("bücher.example:80", None, Endpoint("xn--bcher-kva.example", 80)),
        ("localhost:65535", None, Endpoint("localhost", 65535)),
    ],
)
def test_where_a_tcp_monitor_connects(target: str, port: int | None, read: Endpoint) -> None:
    assert endpoint(target, port) == read
    assert endpoint(str(read), None) == read


@pytest.mark.parametrize(
    ("target", "port", "message"),
    [
        ("db.example", None, "the target has no port: write host:port, or set port"),
        ("db.example:5432", 5433, "the target says port 5432 and port says 5433: give one"),
        ("db.example:0", None, "0 is not a port: use 1 to 65535"),
        ("db.example:65536", None, "65536 is not a port: use 1 to 65535"),
        ("db.example:", None, "nothing is not a port: use 1 to 65535"),
        ("db.example:x", None, "x is not a port: use 1 to 65535"),
        ("db.example:٨٠", None, "٨٠ is not a port: use 1 to 65535"),
        ("db.example:+80", None, "+80 is not a port: use 1 to 65535"),
        (":80", None, "an empty text is not a host name"),
        ("2001:db8::1", None, "an IPv6 target is written [2001:db8::1]:port"),
        ("[2001:db8::1", 80, "an IPv6 target is written [2001:db8::1]:port"),
        ("[2001:db8::1]80", None, "an IPv6 target is written [2001:db8::1]:port"),
        ("[fe80::1%eth0]:80", None, "the host [fe80::1%eth0] has a zone id; use an address without %"),
        ("[]:80", None, None),
        ("[example]:80", None, None),
        ("tcp://db.example:80", None, "a tcp target is host:port, such as db.example:5432, without a scheme"),
        ("db.example:80/x", None, "a tcp target is host:port, such as db.example:5432, without a scheme"),
        ("u:p@db.example:80", None, "a tcp target has no user name: write host:port"),
        ("db example:80", None, "it has a space or control character at column 3"),
        ("db\r\n.example:80", None, "it has a space or control character at column 3"),
        ("①.①.①.①:80", None, "the host has the sign ①; write plain digits, dots and colons"),
        ("127.1:80", None, "127.1 is not an address: write four decimal numbers, such as 192.0.2.7"),
    ],
)  # fmt: skip
def test_a_tcp_target_that_is_refused(target: str, port: int | None, message: str | None) -> None:
    with pytest.raises(TargetError) as caught:
        endpoint(target, port)

    assert message is None or str(caught.value) == message


def test_a_host_name_is_at_most_253_characters() -> None:
    assert host(("a" * 49 + ".") * 5 + "abc") == ("a" * 49 + ".") * 5 + "abc"
    with pytest.raises(TargetError):
        host(("a" * 49 + ".") * 5 + "abcd")


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("db.example:5432", "db.example:5432"),
        ("https://alice:secret@shop.example/x?y#z", "https://shop.example/x?y"),
        ("https://alice@shop.example", "https://shop.example"),
        # Not a target of ours, yet nobody sees what may be a password.
        ("ftp://alice:secret@shop.example/x@y", "ftp://shop.example/x@y"),
        ("http://alice:secret@①/", "http://①/"),
        ("http://alice:secret@①/?to=http://x", "http://①/?to=http://x"),
        ("alice:secret@shop.example", "shop.example"),
    ],
)
def test_a_target_is_shown_without_user_name_and_password(target: str, seen: str) -> None:
    assert shown(target) == seen
