"""The laws of configurations: one stored form, secrets that part and join, no exception."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from netpulse.model.monitor import BasicAuth, BearerAuth, HttpSpec, MonitorSpec, TcpSpec
from netpulse.rules.monitors import (
    join_secrets,
    keep_secrets,
    normalised,
    problems,
    redacted,
    split_secrets,
    strip_read_only,
)
from netpulse.rules.targets import TargetError, endpoint, shown, url

SECRET = "never-answered"

texts = st.text(max_size=30)
hosts = st.one_of(
    texts,
    st.text("abc.-_%:@[]0123456789①。／\\ \t", max_size=20),
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
userinfo = st.sampled_from(["", "", "alice@", f"alice:{SECRET}@", f":{SECRET}@", "a%3Ab:c@"])
ports = st.sampled_from(["", ":80", ":0", ":65536", ":x", ":"])
paths = st.sampled_from(["", "/", "/a/../b", "/?q=%20+ü", "/#x", "?x", "/%zz", f"/{SECRET[:0]}@x"])
urls = st.builds(
    lambda scheme, user, host, port, path: f"{scheme}{user}{host}{port}{path}",
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", ""]),
    userinfo,
    hosts,
    ports,
    paths,
)
headers = st.dictionaries(
    st.one_of(st.sampled_from(["Authorization", "X-Key", "Cookie", "Accept", "x.token"]), texts),
    st.one_of(st.none(), st.just(SECRET), texts),
    max_size=4,
)
auths = st.one_of(
    st.none(),
    st.builds(BasicAuth, username=texts, password=st.sampled_from([None, "", SECRET])),
    st.builds(BearerAuth, token=st.sampled_from([None, "", SECRET])),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
https = st.builds(
    HttpSpec,
    name=texts,
    target=urls,
    tags=st.lists(texts, max_size=4).map(tuple),
    headers=headers,
    auth=auths,
    client_key=st.sampled_from([None, "", SECRET]),
    client_certificate=st.sampled_from([None, "x"]),
    body_regex=st.one_of(st.none(), texts),
    json_path=st.one_of(st.none(), texts, st.text("$.[]?@'*:0a&|()=!<", max_size=20)),
    json_value=st.one_of(st.just(msgspec.UNSET), values),
)
tcps = st.builds(
    TcpSpec, name=texts, target=hosts, port=st.one_of(st.none(), st.integers(1, 65_535))
)


@given(st.one_of(https, tcps))
def test_a_configuration_is_judged_without_an_exception(spec: MonitorSpec) -> None:
    for problem in problems(spec):
        assert problem.path.startswith("$.")
        assert problem.message
        assert SECRET not in problem.message


@given(st.one_of(https, tcps))
def test_the_stored_form_is_its_own(spec: MonitorSpec) -> None:
    stored = normalised(spec)

    assert normalised(stored) == stored


@given(https)
def test_a_normalised_monitor_without_problems_has_no_userinfo(spec: HttpSpec) -> None:
    stored = normalised(spec)

    if not problems(stored):
        parsed = url(stored.target)
        assert parsed.user is None
        assert parsed.password is None
        assert str(parsed) == stored.target


@given(st.one_of(https, tcps))
def test_secrets_part_and_join(spec: MonitorSpec) -> None:
    bare, secrets = split_secrets(normalised(spec))

    stored = msgspec.json.decode(msgspec.json.encode(secrets))
    assert join_secrets(bare, stored) == normalised(spec)


@given(https)
def test_no_secret_is_answered(spec: HttpSpec) -> None:
    stored = normalised(spec)
    harmless = {
        name: value
        for name, value in stored.headers.items()
        if not (value and SECRET in value and "headers." + name not in split_secrets(stored)[1])
    }
    stored = msgspec.structs.replace(stored, headers=harmless)

    assert SECRET not in msgspec.json.encode(redacted(stored)).decode()


@given(st.one_of(https, tcps))
def test_what_is_answered_can_be_put_back(spec: MonitorSpec) -> None:
    stored = normalised(spec)
    if isinstance(stored, HttpSpec) and stored.client_certificate is None:
        stored = msgspec.structs.replace(stored, client_key=None)
    if shown(stored.target) != stored.target:
        return  # it has a problem, and is never stored

    answer = msgspec.json.decode(msgspec.json.encode(redacted(stored)))
    kind = HttpSpec if isinstance(stored, HttpSpec) else TcpSpec
    loose = msgspec.convert(
        strip_read_only(answer), type=dict[str, Any]
    )  # the names are those of the fields
    assert set(loose) - {"type"} <= set(kind.__struct_fields__)
    bare, _ = split_secrets(stored)
    assert keep_secrets(bare, stored) == stored


@given(urls)
@example("http://[::ffff:127.0.0.1]/")
@example("http://①②⑦.⓪.⓪.①/")
def test_a_url_reads_the_same_twice(text: str) -> None:
    try:
        once = url(text)
    except TargetError:
        return
    assert str(url(str(once))) == str(once)
    assert (once.raw_host or "").isascii()
    assert once.port != 0
    assert SECRET not in shown(text)


@given(hosts, st.one_of(st.none(), st.integers(1, 65_535)))
def test_an_endpoint_reads_the_same_twice(text: str, port: int | None) -> None:
    try:
        once = endpoint(text, port)
    except TargetError:
        return
    assert endpoint(str(once), None) == once
    assert endpoint(once.host, once.port) == once
