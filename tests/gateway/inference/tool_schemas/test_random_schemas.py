"""What holds for the schemas of the corpus holds for any: schemas made at random."""

from random import Random
from typing import Any, get_args

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.schema import object_schema
from gateway.inference.tool_schemas.fitting import Rules
from tests.gateway.inference.tool_schemas.test_every_provider import comes_back, kept_rules, taken

NAMES = st.sampled_from(["a", "b", "kind", "filter[id]", "ünder", "a b", "a_b"])
TEXTS = st.sampled_from(["x", "y", "z"])
NOTES = st.fixed_dictionaries(
    {}, optional={"description": TEXTS, "title": TEXTS, "default": st.none() | TEXTS}
)
SCALARS = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind}),
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.just(1),
            "format": st.sampled_from(["uuid", "uri"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.just(0), "maximum": st.just(9), "exclusiveMinimum": st.just(-1)},
    ),
    st.lists(TEXTS | st.integers(0, 3) | st.none() | st.booleans(), min_size=1, max_size=3).map(
        lambda values: {"enum": [value for at, value in enumerate(values) if value not in values[:at]]}
    ),
    (TEXTS | st.integers(0, 3) | st.booleans()).map(lambda value: {"const": value}),
    st.lists(
        st.sampled_from(["string", "integer", "boolean", "null"]), min_size=1, max_size=3, unique=True
    ).map(lambda kinds: {"type": kinds}),
    st.sampled_from(["#/$defs/one", "#/$defs/two"]).map(lambda pointer: {"$ref": pointer}),
    st.just({}),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    more = draw(st.sampled_from([{}, {}, {"additionalProperties": False}, {"additionalProperties": True}]))
    return {"type": "object", "properties": properties, "required": required, **more}


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        objects(inner),
        objects(inner),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda choices: {"anyOf": choices}),
        st.lists(inner, min_size=1, max_size=2).map(lambda choices: {"oneOf": choices}),
        st.builds(lambda schema, notes: {**schema, **notes}, inner, NOTES),
    )


ANY = st.recursive(SCALARS, containers, max_leaves=8)


@st.composite
def tool_schemas(draw: st.DrawFn) -> dict[str, Any]:
    root: dict[str, Any] = draw(objects(ANY))
    if draw(st.booleans()):
        branches = st.lists(objects(SCALARS), min_size=1, max_size=2)
        root[draw(st.sampled_from(["anyOf", "oneOf"]))] = draw(branches)
    return object_schema({**root, "$defs": {"one": draw(objects(ANY)), "two": draw(SCALARS)}})


OBJECT_AND_TEXT = {
    "type": "object",
    "properties": {"b": {"type": "object", "properties": {"a": {"type": "string"}}, "required": []}},
    "anyOf": [{"type": "object", "properties": {"b": {"const": "x"}}}],
}
"""A parameter that its schema lets be an object, and its only alternative a text: it can only be left out."""


@example(OBJECT_AND_TEXT, 0)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
@given(tool_schemas(), st.integers(0, 1_000))
def test_any_schema_is_fitted_and_its_arguments_come_back(schema: dict[str, Any], seed: int) -> None:
    for rules in get_args(Rules):
        assert kept_rules(rules, schema) == []
        comes_back(rules, schema, Random(seed))
        if not {"anyOf", "oneOf"} & schema.keys():  # what one alternative names, another may leave open
            taken(rules, schema, Random(seed))
