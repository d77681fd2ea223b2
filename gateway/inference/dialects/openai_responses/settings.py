"""Reasoning, structured output and the extra data of answers."""

from typing import Any

from gateway.inference.dialects.neutral import OutputFormat, Reasoning, Request
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.reading import Reader, refuse
from kit.errors import Unsupported

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"

_BUDGETS = ((4_096, "low"), (16_384, "medium"))
"""Up to how many tokens of thinking an effort stands for; above them it is high."""


def decode_reasoning_options(value: Any) -> Reasoning:
    """A ``summary`` that is not ``auto`` stays in the rest: its words have no equal elsewhere."""
    options = Reader(value, "reasoning")
    summary = options.peek("summary") or options.peek("generate_summary")
    if options.peek("summary") == "auto" and options.peek("generate_summary") is None:
        options.take("summary")
    effort = options.maybe_text("effort")
    return Reasoning(
        enabled=False if effort == "none" else None,
        effort=effort,
        show=True if summary else None,
        extra=options.rest(),
    )


def encode_reasoning_options(reasoning: Reasoning, encoding: Encoding) -> dict[str, Any] | None:
    """None where the model decides."""
    options = encoding.kept(reasoning.extra, "reasoning")
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None and reasoning.enabled is not False:
        effort = next((word for limit, word in _BUDGETS if reasoning.budget_tokens <= limit), "high")
        encoding.drop("reasoning.budget_tokens")
    if effort is None and reasoning.enabled is False:
        encoding.drop("reasoning.enabled")  # only some models can do without, and none says which
    if effort is not None:
        options["effort"] = effort
    if reasoning.show and not (options.get("summary") or options.get("generate_summary")):
        options["summary"] = "auto"
    return options if options or encoding.own else None


def decode_text_options(value: Any) -> tuple[OutputFormat | None, dict[str, Any]]:
    """The format of the output, and the other fields."""
    options = Reader(value, "text")
    wanted = options.peek("format")
    if wanted is None:
        return None, options.fields()
    form = Reader(wanted, "text.format")
    kind = form.peek("type")
    if kind == "text":
        return None, options.fields()
    if kind not in ("json_schema", "json_object"):
        refuse("text.format.type", "text, json_schema or json_object")
    options.take("format")
    form.take("type")
    if kind == "json_object":
        return OutputFormat(extra=form.rest()), options.fields()
    output = OutputFormat(
        name=form.text("name"),
        schema=form.maybe_object("schema"),
        description=form.maybe_text("description"),
        strict=form.flag("strict"),
        extra=form.rest(),
    )
    if output.schema is None:
        refuse("text.format.schema", "a JSON Schema")
    return output, options.fields()


def encode_output(output: OutputFormat, encoding: Encoding) -> dict[str, Any]:
    """Raises Unsupported where the provider cannot promise the format."""
    kept = encoding.kept(output.extra, "output")
    ability = encoding.target.quirks.structured_output
    if ability == "none" or (ability == "json_object" and output.schema is not None):
        raise Unsupported("output: this model cannot keep to a JSON Schema", param="output")
    if output.schema is None:
        return {"type": "json_object", **kept}
    form: dict[str, Any] = {
        "type": "json_schema",
        "name": output.name or "answer",
        "schema": output.schema,
    }
    if output.description is not None:
        form["description"] = output.description
    strict = output.strict
    if strict is None and not encoding.own:
        strict = _fits_strict(output.schema)
    if strict is not None:
        form["strict"] = strict
    return form | kept


def _fits_strict(schema: dict[str, Any]) -> bool:
    """Whether OpenAI takes a JSON Schema as ``strict``: every object closed, all of its properties required
    (developers.openai.com, Structured Outputs: supported schemas)."""
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            if not _is_closed(part):
                return False
            named = [part.get(name) for name in ("properties", "$defs")]
            waiting += [value for group in named if isinstance(group, dict) for value in group.values()]
            waiting += [value for name, value in part.items() if name not in _NOT_SCHEMAS]
    return True


_NOT_SCHEMAS = {"properties", "$defs", "enum", "const", "required", "default", "examples"}


def _is_closed(schema: dict[str, Any]) -> bool:
    if {"oneOf", "allOf", "not", "patternProperties"} & schema.keys():
        return False
    if schema.get("type") != "object" and "properties" not in schema:
        return True
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return (
        schema.get("additionalProperties") is False
        and isinstance(properties, dict)
        and isinstance(required, list)
        and all(name in required for name in properties)
    )


def encode_include(
    request: Request, kept: list[Any] | None, encoding: Encoding, *, thinks: bool
) -> list[Any]:
    """What the answer shall hold besides. Another dialect's client can only replay encrypted reasoning, as
    nothing is stored for it."""
    include = list(kept or ())
    if request.logprobs and LOGPROBS not in include:
        include.append(LOGPROBS)
    if not encoding.own and (thinks or encoding.target.quirks.replays_reasoning):
        include.append(ENCRYPTED_REASONING)
    return include
