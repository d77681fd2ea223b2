"""JSON Schema (2020-12): checking schemas at registration, arguments before dispatch."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jsonschema_rs
import msgspec

from broker.mending import mend
from broker.schema_cost import TooCostly, check_cost, check_references, weight_of
from kit.errors import InvalidRequest

MAX_SCHEMA_BYTES = 256 * 1024
MAX_CACHED = 2_000
MAX_CACHED_BYTES = 16 * 1024 * 1024
"""Of compiled schemas, as the JSON that they were compiled from."""
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
    if isinstance(schema, dict) and schema.get("type", "object") != "object":
        raise BadSchema('type: expected "object", tools take named arguments')
    return {"type": "object", **usable_schema(schema)}


def usable_schema(schema: Any) -> dict[str, Any]:
    """The schema. Raises BadSchema unless it is a usable 2020-12 one; as ``object_schema``."""
    if not isinstance(schema, dict):
        raise BadSchema("expected a JSON Schema object")
    try:
        if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
            raise BadSchema(f"larger than {MAX_SCHEMA_BYTES} bytes")
        check_references(schema)
        _compile(schema)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path) or "the schema"
        problem = f"{place}: {error.message[:MAX_PROBLEM_CHARS]}"
    except BadSchema:
        raise
    except RecursionError:
        raise BadSchema("too deeply nested") from None
    except ValueError as error:
        problem = str(error).splitlines()[0][:MAX_PROBLEM_CHARS]
    else:
        return schema
    raise BadSchema(f"not a valid JSON Schema (2020-12): {problem}")


def check_schema(schema: Any, *, param: str = "input_schema") -> dict[str, Any]:
    """``object_schema`` for a request's field. Raises InvalidRequest naming it."""
    try:
        return object_schema(schema)
    except BadSchema as problem:
        raise InvalidRequest(f"{param}: {problem}", param=param) from None


def _compile(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, retriever=_no_remote_references)


@dataclass(frozen=True, slots=True)
class Checked:
    """Arguments as they are passed on, what had to be mended in them, and what is wrong with them all the
    same, in words that a model can act on."""

    arguments: dict[str, Any]
    mended: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Compiled:
    validator: jsonschema_rs.Draft202012Validator
    weight: int | None
    size: int
    """Of the schema as JSON, in bytes."""


class ArgumentValidator:
    """Validates arguments; keeps the most recently used schemas compiled."""

    def __init__(self, *, max_cached: int = MAX_CACHED, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._compiled: OrderedDict[bytes, _Compiled] = OrderedDict()
        self._max_cached = max_cached
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def cached(self) -> int:
        return len(self._compiled)

    def problems(self, schema: dict[str, Any], arguments: Any) -> list[str]:
        """What is wrong with the arguments (or another value), in words that a model can act on; empty if
        nothing is."""
        try:
            compiled = self._of(schema)
        except (ValueError, jsonschema_rs.ValidationError, RecursionError):
            return ["the tool's own schema cannot be used"]
        try:
            check_cost(schema, arguments, compiled.weight)
        except TooCostly as problem:
            return [str(problem)]
        except RecursionError:
            return ["the arguments are too deeply nested"]
        found: list[str] = []
        try:
            if compiled.validator.is_valid(arguments):
                return found
            for error in compiled.validator.iter_errors(arguments):
                found.append(_told(error))
                if len(found) == MAX_REPORTED:
                    break
        except ValueError as problem:  # e.g. a number or a nesting that the validator cannot take
            return [str(problem)[:MAX_PROBLEM_CHARS]]
        return found

    def check(self, schema: dict[str, Any], arguments: dict[str, Any]) -> Checked:
        """The arguments, mended where the schema refuses them and only one thing can be meant."""
        problems = self.problems(schema, arguments)
        if not problems:
            return Checked(arguments)
        try:
            compiled = self._of(schema)
            mended = mend(arguments, compiled.validator, partial(check_cost, schema, weight=compiled.weight))
        except (ValueError, jsonschema_rs.ValidationError, RecursionError):
            mended = None  # too costly, or the schema cannot be used: the problems say so
        if mended is None:
            return Checked(arguments, problems=problems)
        return Checked(mended.arguments, mended=mended.places)

    def _of(self, schema: dict[str, Any]) -> "_Compiled":
        encoded = msgspec.json.encode(schema)
        key = hashlib.blake2b(encoded, digest_size=16).digest()
        known = self._compiled.get(key)
        if known is not None:
            self._compiled.move_to_end(key)
            return known
        compiled = _Compiled(_compile(schema), weight_of(schema), len(encoded))
        self._compiled[key] = compiled
        self._bytes += len(encoded)
        while len(self._compiled) > self._max_cached or (
            self._bytes > self._max_bytes and len(self._compiled) > 1
        ):
            _, dropped = self._compiled.popitem(last=False)
            self._bytes -= dropped.size
        return compiled


def _told(error: jsonschema_rs.ValidationError) -> str:
    place = "/".join(str(part) for part in error.instance_path)
    message = error.message[:MAX_PROBLEM_CHARS]
    return f"{place}: {message}" if place else message
