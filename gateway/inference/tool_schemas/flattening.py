"""Alternatives at the root of a tool's schema, said as one flat object: Anthropic and OpenAI refuse
``anyOf``, ``oneOf`` and ``allOf`` there, and Google wants an object whose properties are the parameters.

The flat object accepts whatever the named parameters of each alternative accept; how they go together is
told in its description, and the tool's own schema has the last word on the arguments.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.inference.tool_schemas.conjunction import NOTES, Conjunction
from gateway.inference.tool_schemas.words import brief, joined

MAX_BRANCHES = 50
"""More alternatives than these are not put into words, and more of one property leave it open."""
_HEADS = {
    "oneOf": "Give the arguments of exactly one of these combinations: ",
    "anyOf": "Give the arguments of at least one of these combinations: ",
}


def flattened(schema: Mapping[str, Any], conjunction: Conjunction) -> dict[str, Any]:
    """The schema as an object without ``$ref``, ``allOf``, ``anyOf`` and ``oneOf`` at its own level.
    ``conjunction`` must be lenient. Raises Unmergeable if there is too much of it."""
    result = conjunction.whole(schema)
    for name in ("oneOf", "anyOf"):
        branches = result.pop(name, None)
        if isinstance(branches, list):
            flat = _branches(branches, conjunction)
            if flat:
                _join(result, flat, conjunction)
                description = joined(result.get("description"), _told(name, flat))
                if description is not None:
                    result["description"] = description
    return result


def _branches(branches: list[Any], conjunction: Conjunction) -> list[dict[str, Any]]:
    """Those that an object can fit."""
    found = []
    for branch in branches:
        if isinstance(branch, Mapping):
            flat = flattened(branch, conjunction)
            kinds = flat.get("type", "object")
            if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
                found.append(flat)
    return found


def _join(base: dict[str, Any], branches: Sequence[dict[str, Any]], conjunction: Conjunction) -> None:
    own = base.get("properties") or {}
    closed = base.get("additionalProperties") is False  # then nothing fits that gives other properties
    choices: dict[str, list[Any]] = {}
    for branch in branches:
        for name, value in (branch.get("properties") or {}).items():
            conjunction.steps += 1
            if name not in own and value is not False and not closed:
                seen = choices.setdefault(name, [])
                if len(seen) == MAX_BRANCHES:
                    choices[name] = [True]
                elif value not in seen:
                    seen.append(value)
    if choices or own:
        base["properties"] = {**own, **{name: _any_of(values) for name, values in choices.items()}}
    common = set(branches[0].get("required") or ())
    for branch in branches[1:]:
        common &= set(branch.get("required") or ())
    listed = [name for name in branches[0].get("required") or () if name in common]
    if required := list(dict.fromkeys([*(base.get("required") or ()), *listed])):
        base["required"] = required
    if all(branch.get("additionalProperties") is False for branch in branches):
        base.setdefault("additionalProperties", False)


def _any_of(values: list[Any]) -> Any:
    """Different schemas of one property; constants, which tell the branches apart, become one list."""
    if len(values) == 1:
        return values[0]
    constants: list[Any] = []
    for value in values:
        if not isinstance(value, Mapping) or not value.keys() <= {"const", "enum", "type", *NOTES}:
            return {"anyOf": values}
        own = [value["const"]] if "const" in value else value.get("enum")
        if own is None or not all(isinstance(constant, str) for constant in own):
            return {"anyOf": values}
        constants += [constant for constant in own if constant not in constants]
    notes = next((value["description"] for value in values if "description" in value), None)
    return {"type": "string", "enum": constants} | ({} if notes is None else {"description": notes})


def _told(name: str, branches: Sequence[dict[str, Any]]) -> str | None:
    if len(branches) < 2 or len(branches) > MAX_BRANCHES:
        return None
    combinations = [_combination(branch) for branch in branches]
    if not all(combinations):
        return None
    return _HEADS[name] + "; ".join(f"({one})" for one in combinations) + "."


def _combination(branch: Mapping[str, Any]) -> str:
    """What a branch wants: its required properties, its constants with their values."""
    properties = branch.get("properties") or {}
    names = list(branch.get("required") or properties)
    parts = []
    for name in names:
        inner = properties.get(name)
        constant = brief(inner["const"]) if isinstance(inner, Mapping) and "const" in inner else None
        parts.append(name if constant is None else f"{name} = {constant}")
    return ", ".join(parts)
