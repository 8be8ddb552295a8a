"""Every number and every text that somebody may send has an end, and the document says which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from netpulse.web import routes
from tests.tenancy import routes_of, variants

ELSEWHERE = {
    "HttpSpec.ip_version": "4, 6 or null: `rules.monitors_http`",
    "HttpsSpec.ip_version": "the same",
    "MePatch.ip_whitelist": "at most 50 addresses: `rules.allowlist`",
    "TelegramSpec.chat_id": "at most 20 digits: `channel_configs.telegram`",
    "WebhookSpec.headers": "names: 50, in a body of at most a mebibyte",
}
"""Fields whose bounds are kept by a rule, and where."""


def structs() -> Iterator[type]:
    """Yield each Struct that a body or a query is made of, its parts too."""
    seen: set[type] = set()
    todo: list[Any] = []
    for route in routes_of(routes.ROUTES):
        if route.declaration is not None:
            todo += [kind for kind in (route.declaration.body, route.declaration.query) if kind]
    while todo:
        for kind in variants(todo.pop()):
            if kind not in seen:
                seen.add(kind)
                yield kind
                info = inspect.type_info(kind)
                assert isinstance(info, inspect.StructType)
                todo += [
                    each.cls
                    for field in info.fields
                    for each in parts(field.type)
                    if isinstance(each, inspect.StructType)
                ]


def parts(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type and all that it is made of."""
    yield info
    for name in ("types", "item_types"):
        for each in getattr(info, name, ()):
            yield from parts(each)
    for name in ("item_type", "key_type", "value_type"):
        if isinstance(getattr(info, name, None), inspect.Type):
            yield from parts(getattr(info, name))
    if isinstance(info, inspect.Metadata):
        yield from parts(info.type)


def test_every_field_has_an_end() -> None:
    endless = set()
    count = 0
    for kind in structs():
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        for field in info.fields:
            for each in parts(field.type):
                count += 1
                if _is_endless(each):
                    endless.add(f"{kind.__name__}.{field.encode_name}")
    assert count > 300
    assert endless - set(ELSEWHERE) == set(), "give it a bound, or say in ELSEWHERE who keeps it"
    assert set(ELSEWHERE) - endless == set(), "explained, and not there any more"


def _is_endless(info: inspect.Type) -> bool:
    if isinstance(info, inspect.IntType | inspect.FloatType):
        low = info.ge if info.ge is not None else info.gt
        high = info.le if info.le is not None else info.lt
        return low is None or high is None
    if isinstance(info, inspect.StrType):
        return info.max_length is None and info.pattern is None
    if isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.DictType):
        return info.max_length is None
    return False
