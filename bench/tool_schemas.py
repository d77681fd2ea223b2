"""What a tool call costs in names and schemas, beside the call itself: `python -m bench.tool_schemas`.

Per call: the tool's schema fitted to its provider (kept), its arguments restored to what it declared, its
name mapped back, its arguments validated. The aim is 0.05 ms for all four together.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from broker.schema import ArgumentValidator, object_schema
from broker.tool import BoundTool
from broker.toolset import Toolset
from gateway.inference.tool_schemas.fitting import Rules, SchemaFitter, fit

ROUNDS = 2_000
AIM_MS = 0.05
TOOLS = 50
ALL_RULES: tuple[Rules, ...] = get_args(Rules)


def issue_schema() -> dict[str, Any]:
    """About what a vendor's server has for creating an issue: 1.5 KB, some nesting, a reference."""
    text = {
        "type": "string",
        "description": "What it is about, in a sentence or two for a model.",
    }
    person = {"type": "object", "properties": {"id": {"type": "integer"}, "name": text}, "required": ["id"]}
    properties: dict[str, Any] = {f"field_{number}": text for number in range(8)}
    properties |= {
        "labels": {"type": "array", "items": {"enum": ["bug", "feature", "question"]}},
        "assignee": {"$ref": "#/$defs/person"},
        "priority": {"type": "integer", "minimum": 0, "maximum": 4},
    }
    return object_schema({"properties": properties, "required": ["field_0"], "$defs": {"person": person}})


def measured(what: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Milliseconds of CPU per call."""
    what()
    started = time.process_time()
    for _ in range(rounds):
        what()
    return (time.process_time() - started) / rounds * 1_000


def main() -> None:
    schema = issue_schema()
    bound = [BoundTool.of_client(f"server/tool {number}", "", schema) for number in range(TOOLS)]
    toolset, fitter, validator = Toolset.build(bound), SchemaFitter(), ArgumentValidator()
    name = list(toolset.tools)[TOOLS // 2]
    declared = {"field_0": "a title", "labels": ["bug"], "assignee": {"id": 7}, "priority": 2}
    console, table = Console(), Table("per call, ms of CPU", *ALL_RULES)
    rows: dict[str, list[float]] = {"schema fitted (kept)": [], "arguments restored": []}
    for rules in ALL_RULES:
        fitted = fitter.fit(schema, rules)
        given = dict(declared)
        if fitted.strict:
            nulls = dict.fromkeys(fitted.schema["properties"])
            given = {**nulls, **declared, "assignee": {"id": 7, "name": None}}
        assert fitted.restoration.restore(given) == declared
        rows["schema fitted (kept)"].append(measured(partial(fitter.fit, schema, rules)))
        rows["arguments restored"].append(measured(partial(fitted.restoration.restore, given)))
    rows["name mapped back"] = [measured(lambda: toolset.find(name))] * len(ALL_RULES)
    rows["arguments validated"] = [measured(lambda: validator.check(schema, declared))] * len(ALL_RULES)
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    for row, values in rows.items():
        table.add_row(row, *(f"{value:.4f}" for value in values))
    table.add_row("together", *(f"{value:.4f}" for value in totals), style="bold")
    console.print(table)
    first = [measured(partial(fit, schema, rules), rounds=200) for rules in ALL_RULES]
    console.print(f"a schema that is not kept yet: {', '.join(f'{value:.3f}' for value in first)} ms")
    console.print(f"aim: {AIM_MS} ms together: {'met' if max(totals) <= AIM_MS else 'missed'}")


if __name__ == "__main__":
    main()
