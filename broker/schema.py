"""JSON Schema (2020-12): checking schemas at registration, arguments before dispatch."""

from collections import OrderedDict
from typing import Any

import jsonschema_rs
import msgspec

from broker.schema_cost import TooCostly, check_cost, check_references
from kit.errors import InvalidRequest

MAX_SCHEMA_BYTES = 256 * 1024
MAX_CACHED = 2_000
MAX_REPORTED = 5
MAX_PROBLEM_CHARS = 300


class BadSchema(ValueError):
    """A schema that cannot be used for a tool's input; the message says where and why."""


def _no_remote_references(uri: str) -> Any:
    raise ValueError(f"remote references are not followed: {uri}")


def object_schema(schema: Any) -> dict[str, Any]:
    """The schema, with ``type: object`` said. Raises BadSchema unless it is a usable 2020-12 one.

    References stay within the schema; nothing is ever fetched (MCP specification 2026-07-28, JSON Schema).
    """
    if not isinstance(schema, dict):
        raise BadSchema("expected a JSON Schema object")
    if schema.get("type", "object") != "object":
        raise BadSchema('type: expected "object", tools take named arguments')
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise BadSchema(f"larger than {MAX_SCHEMA_BYTES} bytes")
    try:
        check_references(schema)
        _compile(schema)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path) or "the schema"
        problem = f"{place}: {error.message[:MAX_PROBLEM_CHARS]}"
    except (ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0][:MAX_PROBLEM_CHARS]
    else:
        return {"type": "object", **schema}
    raise BadSchema(f"not a valid JSON Schema (2020-12): {problem}")


def check_schema(schema: Any, *, param: str = "input_schema") -> dict[str, Any]:
    """``object_schema`` for a request's field. Raises InvalidRequest naming it."""
    try:
        return object_schema(schema)
    except BadSchema as problem:
        raise InvalidRequest(f"{param}: {problem}", param=param) from None


def _compile(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, retriever=_no_remote_references)


class ArgumentValidator:
    """Validates arguments; keeps the most recently used schemas compiled."""

    def __init__(self, *, max_cached: int = MAX_CACHED) -> None:
        self._compiled: OrderedDict[bytes, jsonschema_rs.Draft202012Validator] = OrderedDict()
        self._max_cached = max_cached

    @property
    def cached(self) -> int:
        return len(self._compiled)

    def problems(self, schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
        """What is wrong with the arguments, in words that a model can act on; empty if nothing is."""
        try:
            validator = self._validator(schema)
        except (ValueError, jsonschema_rs.ValidationError, RecursionError):
            return ["the tool's own schema cannot be used"]
        try:
            check_cost(schema, arguments)
        except TooCostly as problem:
            return [str(problem)]
        except RecursionError:
            return ["the arguments are too deeply nested"]
        found: list[str] = []
        try:
            for error in validator.iter_errors(arguments):
                found.append(_told(error))
                if len(found) == MAX_REPORTED:
                    break
        except ValueError as problem:  # e.g. a number or a nesting that the validator cannot take
            return [str(problem)[:MAX_PROBLEM_CHARS]]
        return found

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        key = msgspec.json.encode(schema)
        validator = self._compiled.get(key)
        if validator is None:
            validator = self._compiled[key] = _compile(schema)
            if len(self._compiled) > self._max_cached:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(key)
        return validator


def _told(error: jsonschema_rs.ValidationError) -> str:
    place = "/".join(str(part) for part in error.instance_path)
    message = error.message[:MAX_PROBLEM_CHARS]
    return f"{place}: {message}" if place else message
