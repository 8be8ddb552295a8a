"""The OpenAPI document: made from the declarations of the routes and the Structs they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from netpulse.model.monitor import TYPES
from netpulse.model.user import Role
from netpulse.rules.monitors import READ_ONLY
from netpulse.web import scopes
from netpulse.web.api.monitors import MonitorAnswer, MonitorState
from netpulse.web.endpoint import PUBLIC, Declaration
from netpulse.web.envelope import Meta
from netpulse.web.errors import Failed, of_status, too_large

_REF = "#/components/schemas/{name}"

TAGS = {
    "auth": "Signing in, and making the first account",
    "org": "The organization that one acts in",
    "members": "Who belongs to it, and what they may do",
    "invitations": "Who was asked to join it",
    "api-keys": "Keys with which programs sign their requests",
    "clients": "Organizations that yours looks after, and who of your people may enter them",
    "monitors": "What is watched, and what came of it",
    "incidents": "Outages and what people say of them",
    "alert-channels": "Ways of telling somebody",
    "alert-rules": "Who is told about what",
    "alert-events": "What was told, and what was not and why",
    "maintenance": "Planned work, of which nobody is alarmed",
    "status-pages": "What the world may see",
    "public": "Status pages as strangers read them, without a sign-in",
    "audit-logs": "Who did what, when and from where",
}


def declarations(routes: Iterable[HTTPRouteHandler]) -> list[Declaration]:
    """Return the declarations of the API's routes, in their order."""
    found = (route.opt.get("declaration") for route in routes)
    return [declaration for declaration in found if declaration is not None]


def document(declared: list[Declaration], version: str, server: str = "") -> dict[str, Any]:
    """Return the document (OpenAPI 3.1) of the declared routes."""
    types = _types(declared)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {_key(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    by_type[_key(MonitorAnswer)] = _monitor_answer(components)
    # msgspec writes an enumeration of one boolean, which generators of clients cannot read.
    components[Failed.__name__]["properties"]["success"] = {"const": False}
    paths: dict[str, Any] = {}
    for declaration in declared:
        path = _path(declaration)
        operation = _operation(declaration, path, by_type, components)
        paths.setdefault(path, {})[declaration.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NetPulse UpGuardX API",
            "version": version,
            "description": (
                "Every answer is an envelope: success, data and, for lists, meta; an error has "
                "success false and error with code, message and details. Times are RFC 3339 in "
                "UTC, durations carry their unit in their name, ids are UUIDs."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "Needs the scope that x-scope names",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "np_session",
                    "description": "The pages' own session, for requests of their own origin",
                },
            },
        },
    }


def _path(declaration: Declaration) -> str:
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", declaration.path)


def _key(kind: Any) -> str:
    return repr(kind)


def _types(declared: list[Declaration]) -> list[Any]:
    """Return each type that has a schema, once."""
    found: dict[str, Any] = {_key(kind): kind for kind in (Failed, Meta, MonitorState)}
    for declaration in declared:
        for kind in (declaration.body, declaration.answer):
            if kind is not None and kind is not MonitorAnswer:
                found[_key(kind)] = kind
    return list(found.values())


def _monitor_answer(components: dict[str, Any]) -> dict[str, Any]:
    """Add a schema for each type of monitor as it is answered; return the choice of them."""
    state = components["MonitorState"]
    names = {}
    for word, kind in TYPES.items():
        spec = components[kind.__name__]
        name = kind.__name__.replace("Spec", "Monitor")
        extra = {
            field: {"type": "boolean", "readOnly": True}
            for field in sorted(READ_ONLY)
            if field.endswith("_set") and field.removesuffix("_set") in spec["properties"]
        }
        if "headers_set" in extra:
            extra["headers_set"] = {
                "type": "object",
                "additionalProperties": {"type": "boolean"},
                "readOnly": True,
            }
        components[name] = {
            "title": name,
            "description": f"{spec['description']} Write-only fields are null.",
            "type": "object",
            "properties": spec["properties"] | extra | _of_type(word, state["properties"]),
            "required": sorted({"type", *spec["required"], *state["required"]}),
        }
        names[word] = name
    # Its fields are in the schemas above.
    del components["MonitorState"]
    refs = {word: _REF.format(name=name) for word, name in names.items()}
    return {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }


def _of_type(word: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in properties.items() if name != "ping_url" or word == "push"}


def _operation(
    declaration: Declaration, path: str, by_type: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    if declaration.query is not None:
        parameters += _query_parameters(declaration.query, components)
    if declaration.access is not PUBLIC:
        parameters.append(_ORG_HEADER)
    if 412 in declaration.errors:
        parameters.append(_IF_MATCH)
    operation: dict[str, Any] = {
        "operationId": operation_id(declaration),
        "summary": declaration.summary,
        "tags": [declaration.tag],
        "parameters": parameters,
        "responses": _responses(declaration, by_type),
        "x-role": _role(declaration),
        "x-scope": scopes.needed(declaration.method, declaration.tag),
        "security": _security(declaration),
    }
    if declaration.body is not None:
        operation["requestBody"] = {
            "required": declaration.body_required,
            "content": {"application/json": {"schema": by_type[_key(declaration.body)]}},
        }
    return operation


def _security(declaration: Declaration) -> list[dict[str, Any]]:
    if declaration.access is PUBLIC:
        return []
    signed: list[dict[str, Any]] = [{"bearer": []}, {"session": []}]
    scope = scopes.needed(declaration.method, declaration.tag)
    return signed if scope is None else [*signed, {"key": []}]


_ORG_HEADER = {
    "name": "X-Org-Id",
    "in": "header",
    "description": "Act in another organization that you are a member of",
    "schema": {"type": "string", "format": "uuid"},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag you read: 412 if it was changed since",
    "schema": {"type": "string"},
}


def _role(declaration: Declaration) -> str:
    return declaration.access.word if isinstance(declaration.access, Role) else "public"


def operation_id(declaration: Declaration) -> str:
    """Return the name of an operation, by which a generated client calls it: get_monitors_by_id."""
    words = [
        f"by_{part[1:-1]}" if part.startswith("{") else part.replace("-", "_")
        for part in _path(declaration).removeprefix("/v1/").split("/")
    ]
    return "_".join([declaration.method.lower(), *words])


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string"}
    # A slug and a token are none.
    if name == "id" or name.endswith("_id"):
        schema["format"] = "uuid"
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(kind: type[Struct], components: dict[str, Any]) -> list[dict[str, Any]]:
    (_,), found = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = found.pop(kind.__name__)
    components.update(found)
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": _meaning(kind, name),
            "schema": each,
        }
        for name, each in schema["properties"].items()
    ]


_MEANINGS = {
    "page": "From 1",
    "limit": "Rows a page, at most 100",
    "cursor": "meta.next_cursor of the page before",
    "from": "RFC 3339",
    "to": "RFC 3339",
    "period": "Up to now",
    "AuditQuery.q": "Text in action, actor, resource_id, address, or what was before and after",
    "ExportQuery.q": "Text in action, actor, resource_id, address, or what was before and after",
    "q": "Text that name, target, group or a tag contains",
    "sort": "With - in front: the other way round",
    "tag": "Those that have this tag",
    "group": "Those in this group",
    "type": "Those of this type",
    "status": "Those in this state",
    "is_open": "Those that are open, or those that are over",
    "monitor_id": "Those of this monitor",
    "channel_id": "Those of this channel",
    "action": "Those with this action",
    "actor": "Text in the name of who did it",
    "ip": "Those from this address",
    "user_id": "Those of this person",
    "resource_type": "Those about things of this type",
    "resource_id": "Those about this thing",
    "log": "instance: what belongs to no organization, for super administrators",
    "format": "As what",
}


def _meaning(kind: type[Struct], name: str) -> str:
    own = _MEANINGS.get(f"{kind.__name__}.{name}")
    return own or _MEANINGS.get(name, kind.__doc__ or name)


def _responses(declaration: Declaration, by_type: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "null"}
    if declaration.answer is not None:
        answer = by_type[_key(declaration.answer)]
    properties: dict[str, Any] = {"success": {"const": True}, "data": answer}
    if declaration.many:
        properties["data"] = {"type": "array", "items": answer}
        properties["meta"] = {"$ref": _REF.format(name="Meta")}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    content = {"application/json": {"schema": schema}}
    if declaration.media:
        content = {media: {"schema": {"type": "string"}} for media in declaration.media}
    responses: dict[str, Any] = {
        str(declaration.status): {"description": "Done", "content": content}
    }
    for status in sorted(_statuses(declaration)):
        told = too_large(declaration.max_body) if status == 413 else of_status(status)
        responses[str(status)] = {
            "description": told.message,
            "content": {
                "application/json": {"schema": {"$ref": _REF.format(name=Failed.__name__)}}
            },
        }
    return responses


def _statuses(declaration: Declaration) -> set[int]:
    found = {*declaration.errors, 429, 500, 503}
    if declaration.body is not None:
        found |= {400, 408, 413, 415}
    if declaration.query is not None:
        found.add(400)
    if declaration.access is not PUBLIC:
        found |= {401, 403}
    elif declaration.method != "GET":
        # From a page of another site.
        found.add(403)
    return found


@cache
def encoded(routes: tuple[HTTPRouteHandler, ...], version: str, server: str) -> bytes:
    """Return the document's JSON; it is the same for as long as the process runs."""
    return msgspec.json.encode(document(declarations(routes), version, server))
