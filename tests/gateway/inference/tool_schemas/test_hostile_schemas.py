"""Schemas that are made to cost time or memory: fitted within bounds, or offered with less said."""

import time
from typing import Any, get_args

import pytest

from broker.schema import object_schema
from gateway.inference.tool_schemas.fitting import Rules, SchemaFitter, fit
from tests.gateway.inference.tool_schemas.provider_rules import violations
from tests.gateway.inference.tool_schemas.samples import nested, of


def doubling(levels: int, keyword: str) -> dict[str, Any]:
    """Each definition refers twice to the next."""
    definitions: dict[str, Any] = {"a0": of({"x": {"type": "string"}})}
    for level in range(1, levels + 1):
        reference = {"$ref": f"#/$defs/a{level - 1}"}
        inside = {"allOf": [reference, reference]}
        definitions[f"a{level}"] = (
            inside if keyword == "allOf" else of({"l": reference, "r": reference}) | {"description": "d"}
        )
    return of({"top": {"$ref": f"#/$defs/a{levels}"}}, **{"$defs": definitions})


X = {"$ref": "#/$defs/x"}
LONG = "x" * 200
HOSTILE: dict[str, dict[str, Any]] = {
    "doubled by allOf": doubling(60, "allOf"),
    "doubled by properties": doubling(60, "properties"),
    "root doubled by allOf": {**doubling(60, "allOf"), "allOf": [{"$ref": "#/$defs/a60"}]},
    "10,000 properties": of({f"p{number}": {"type": "string"} for number in range(8_000)}),
    "10,000 odd names": of({f"p {number}": {} for number in range(10_000)}),
    "names that collide": of({f"{'a' * 70}{mark}": {} for mark in "!§$%&/()=?"}),
    "huge enum": of({"e": {"enum": [f"value {number}" for number in range(15_000)]}}),
    "many alternatives": {"anyOf": [of({"k": {"const": number}, "v": {}}) for number in range(3_000)]},
    "circle": of({"a": X}, **{"$defs": {"x": {"$ref": "#/$defs/y"}, "y": X}}),
    "root circle": {"$ref": "#"},
    "circle through required": of({"a": X}, **{"$defs": {"x": of({"x": X}, "x")}}),
    "deep": nested(60),
    "pattern": of({"p": {"type": "string", "pattern": "^(a|aa)+$"}}),
    "long words": of({"w": {"type": "string", "description": LONG, "default": LONG, "format": LONG}}),
}  # fmt: skip


@pytest.mark.parametrize("rules", get_args(Rules))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_fitted_soon_and_by_the_rules(name: str, rules: Rules) -> None:
    schema = object_schema(HOSTILE[name])
    started = time.monotonic()
    fitted = fit(schema, rules)
    assert time.monotonic() - started < 3
    checked = "openai" if rules == "openai-strict" and not fitted.strict else rules
    assert violations(fitted.schema, checked) == []
    assert len(str(fitted.schema)) < 4 * len(str(schema)) + 400_000
    arguments = {"a": {"x": None}, "p": "a", "e": "value 1"}
    assert isinstance(fitted.restoration.restore(arguments), dict)


def test_fitted_schemas_are_kept_up_to_a_bound() -> None:
    fitter = SchemaFitter(max_cached=3, max_bytes=3_000)
    small = [of({f"p{number}": {"type": "string"}}) for number in range(10)]
    for schema in small:
        assert fitter.fit(schema, "google") is fitter.fit(dict(schema), "google")
        assert fitter.fit(schema, "google") == fit(schema, "google")
    assert fitter.cached[0] == 3
    for number in range(5):
        fitter.fit(of({"p": {"type": "string", "description": f"{number}" * 1_000}}), "anthropic")
    kept, size = fitter.cached
    assert kept == 1 and size < 3_000
    assert fitter.fit(small[0], "google") == fit(small[0], "google")


def test_rules_do_not_share_what_is_kept() -> None:
    fitter, schema = SchemaFitter(), of({"a b": {"type": "string"}})
    adapted = [fitter.fit(schema, rules).schema for rules in get_args(Rules)]
    assert [list(one["properties"]) for one in adapted] == [["a_b"], ["a b"], ["a b"], ["a_b"]]
