"""JSON Schema (2020-12): checking schemas at registration, arguments before dispatch."""

from collections import OrderedDict
from typing import Any

import jsonschema_rs
import msgspec

from kit.errors import InvalidRequest

MAX_SCHEMA_BYTES = 256 * 1024
MAX_CACHED = 2_000
MAX_REPORTED = 5


def _no_remote_references(uri: str) -> Any:
    raise ValueError(f"remote references are not followed: {uri}")


def check_schema(schema: Any, *, param: str = "input_schema") -> dict[str, Any]:
    """A usable object schema. Raises InvalidRequest saying where it is wrong."""
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{param}: expected a JSON Schema object", param=param)
    if schema.get("type", "object") != "object":
        raise InvalidRequest(f'{param}.type: expected "object", tools take named arguments', param=param)
    try:
        if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
            raise InvalidRequest(f"{param}: larger than {MAX_SCHEMA_BYTES} bytes", param=param)
        _compile(schema)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path) or "the schema"
        problem = f"{place}: {error.message[:300]}"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = str(error).splitlines()[0][:300]
    else:
        return {"type": "object", **schema}
    raise InvalidRequest(f"{param}: not a valid JSON Schema (2020-12): {problem}", param=param)


def _compile(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, retriever=_no_remote_references)


class ArgumentValidator:
    """Validates arguments; keeps the most recently used schemas compiled."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[bytes, jsonschema_rs.Draft202012Validator] = OrderedDict()

    def problems(self, schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
        """What is wrong with the arguments, in words that a model can act on; empty if nothing is."""
        try:
            key = msgspec.json.encode(schema)
        except RecursionError:
            return ["the tool's own schema is nested too deeply"]
        validator = self._compiled.get(key)
        if validator is None:
            try:
                validator = _compile(schema)
            except (ValueError, jsonschema_rs.ValidationError, RecursionError):
                return ["the tool's own schema cannot be used"]
            self._compiled[key] = validator
            if len(self._compiled) > MAX_CACHED:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(key)
        found: list[str] = []
        for error in validator.iter_errors(arguments):
            place = "/".join(str(part) for part in error.instance_path)
            found.append(f"{place}: {error.message[:300]}" if place else error.message[:300])
            if len(found) == MAX_REPORTED:
                break
        return found
