"""The OpenAPI document as `/docs` shows it: plain values for a template, schemas as text."""

from __future__ import annotations

import json
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 6

_AUTH = {
    "public": "Anybody may call this.",
    "viewer": "Needs a sign-in; viewers may.",
    "admin": "Needs a sign-in as administrator.",
    "super_admin": "Needs a sign-in as super administrator.",
}

INTRO = (
    """Send Authorization: Bearer with the access token of POST /v1/auth/login. It holds for 15
    minutes; POST /v1/auth/refresh gives the next one for the cookie np_refresh.""",
    """Every answer is an envelope: success, data and, for lists, meta. An error has success false,
    and error with code, message and details; a 400 lists every problem in details.errors with
    its path.""",
    """PUT takes the whole thing; what an answer has and nobody can set may be sent back and is
    ignored. A secret that is null or left out keeps its value, an empty text removes it. With
    If-Match and the ETag you read, a change that somebody else made meanwhile is a 412.""",
)


def reference(document: dict[str, Any]) -> dict[str, Any]:
    """Return {title, version, intro, groups} of an OpenAPI document."""
    schemas = document["components"]["schemas"]
    groups = {tag["name"]: _group(tag) for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                group = groups[operation["tags"][0]]
                group["operations"].append(_operation(method, path, operation, schemas))
    return {
        "title": document["info"]["title"],
        "version": document["info"]["version"],
        "intro": [" ".join(paragraph.split()) for paragraph in INTRO],
        "groups": list(groups.values()),
    }


def _group(tag: dict[str, Any]) -> dict[str, Any]:
    name = tag["name"]
    return {"id": name, "name": name.replace("-", " ").capitalize(), "operations": []}


def _operation(
    method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "auth": _AUTH[operation["x-role"]],
        "params": [
            {
                "name": each["name"],
                "place": each["in"],
                "type": _text(each["schema"], schemas),
                "required": each.get("required", False),
                "description": each.get("description", ""),
            }
            for each in operation["parameters"]
        ],
        "body": _body(operation.get("requestBody"), schemas),
        "responses": [
            {
                "status": status,
                "description": response["description"],
                # Errors look all alike; the introduction tells how.
                "schema": _content(response, schemas) if status.startswith("2") else "",
            }
            for status, response in operation["responses"].items()
        ],
    }


def _body(body: dict[str, Any] | None, schemas: dict[str, Any]) -> dict[str, str] | None:
    if body is None:
        return None
    return {"media": "application/json", "schema": _content(body, schemas, asked=True)}


def _content(holder: dict[str, Any], schemas: dict[str, Any], *, asked: bool = False) -> str:
    content = holder["content"]
    if "application/json" not in content:
        return " or ".join(content)
    return _text(content["application/json"]["schema"], schemas, asked=asked)


def _text(
    schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0, *, asked: bool = False
) -> str:
    """Return a schema in words: an object with a line a field, other types in one line.

    What is `asked` of a client says what is required and what is the default.
    """
    if "$ref" in schema:
        found = schemas[schema["$ref"].rpartition("/")[2]]
        return _text(found, schemas, depth, asked=asked)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            choices = [_text(each, schemas, depth, asked=asked) for each in schema[word]]
            many_lines = any("\n" in choice for choice in choices)
            return ("\n" + "  " * depth + "or " if many_lines else " or ").join(choices)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    kind = str(schema.get("type", "anything"))
    if kind == "object":
        return _object(schema, schemas, depth, asked=asked)
    if kind == "array":
        inner = _text(schema.get("items", {}), schemas, depth, asked=asked)
        return f"[{inner}, …]"
    return kind + _bounds(schema)


def _object(schema: dict[str, Any], schemas: dict[str, Any], depth: int, *, asked: bool) -> str:
    properties = schema.get("properties")
    if not properties:
        values = schema.get("additionalProperties")
        inner = _text(values, schemas, depth + 1) if isinstance(values, dict) else "anything"
        return f"{{name: {inner}}}"
    if depth >= _DEEPEST:
        return "{…}"
    required = set(schema.get("required", ()))
    indent = "  " * (depth + 1)
    lines = []
    for name, each in properties.items():
        text = _text(each, schemas, depth + 1, asked=asked)
        note = ""
        if asked and name in required:
            note = " (required)"
        elif asked and each.get("default", "") not in ([], {}, ""):
            note = f" = {json.dumps(each['default'])}"
        lines.append(f"{indent}{json.dumps(name)}: {text}{note}")
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"


_WORDS = {
    "minimum": ">= {}",
    "maximum": "<= {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "format": "{}",
}


def _bounds(schema: dict[str, Any]) -> str:
    found = [words.format(schema[key]) for key, words in _WORDS.items() if key in schema]
    return f" ({', '.join(found)})" if found else ""
