"""Arithmetic, which models do badly in their heads."""

from typing import Any

from broker.builtins.arithmetic import MAX_CHARS, BadExpression, evaluate, shown
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, text


async def run(call: Invocation) -> Any:
    expression = call.input["expression"]
    try:
        return {"result": shown(evaluate(expression))}
    except BadExpression as problem:
        raise BuiltinFailed(
            f"The expression cannot be worked out: {problem}.", status="invalid_arguments"
        ) from None


TOOL = Builtin(
    slug="calculator",
    display_name="Calculator",
    brand=None,
    description="Works out an arithmetic expression with 50 digits.",
    input_schema=fields(
        "expression",
        expression=text(
            "Such as: round(1234.5 * 1.19 ^ 3, 2). Known are + - * / // % ^ and brackets, pi, e, sqrt, abs, "
            "round, floor, ceil, ln, log, log10, log2, exp, sin, cos, tan, asin, acos, atan, radians, "
            "degrees, factorial, min, max; angles are in radians",
            most=MAX_CHARS,
        ),
    ),
    config_schema=fields(),
    run=run,
    retry_safe=True,
)
