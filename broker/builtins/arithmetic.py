"""Working out arithmetic expressions: decimal numbers, a handful of functions, nothing else.

The text is parsed, never executed. Its length, nesting and numbers are bounded, so it cannot take long:
factorials and powers are the only ways to something large, and both are limited before they are worked out.
"""

import ast
import decimal
import math
from collections.abc import Callable
from decimal import Decimal

MAX_CHARS = 1_000
MAX_NODES = 300
MAX_FACTORIAL = 1_000
MAX_EXPONENT = 10_000
CONTEXT = decimal.Context(
    prec=60,
    Emax=1_000_000,
    Emin=-1_000_000,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


SHOWN = decimal.Context(prec=50, Emax=CONTEXT.Emax, Emin=CONTEXT.Emin, traps=[])
"""Fewer digits than are worked with, so that what was rounded on the way does not show."""


class BadExpression(ValueError):
    """It cannot be worked out; the message says why."""


def evaluate(expression: str) -> Decimal:
    """Raises BadExpression."""
    if len(expression) > MAX_CHARS:
        raise BadExpression(f"it is longer than {MAX_CHARS} characters")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression("it is not an expression that can be read") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise BadExpression("it has too many parts")
    try:
        return _value(tree.body, expression)
    except decimal.DivisionByZero:
        raise BadExpression("it divides by zero") from None
    except (decimal.Overflow, OverflowError):
        raise BadExpression("the result is too large") from None
    except (decimal.InvalidOperation, ValueError) as problem:
        if isinstance(problem, BadExpression):
            raise
        raise BadExpression("it has no value, such as the root of a negative number") from None


def shown(value: Decimal) -> str:
    """Without an exponent, where that is not longer than 40 digits."""
    rounded = SHOWN.plus(value).normalize(SHOWN)
    if rounded == 0:
        return "0"
    return format(rounded, "f") if -20 <= rounded.adjusted() < 40 else str(rounded)


def _value(node: ast.expr, source: str) -> Decimal:
    if isinstance(node, ast.Constant):
        return _number(node, source)
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        value = _value(node.operand, source)
        return CONTEXT.minus(value) if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, source), _value(node.right, source))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id.lower(), [_value(part, source) for part in node.args])
    what = ast.unparse(node)[:40]
    raise BadExpression(
        f"{what} is not arithmetic; known are + - * / // % ** and {', '.join(sorted(_FUNCTIONS))}"
    )


def _number(node: ast.Constant, source: str) -> Decimal:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise BadExpression(f"{str(node.value)[:40]!r} is not a number")
    if isinstance(node.value, int):
        return CONTEXT.create_decimal(node.value)
    written = ast.get_source_segment(source.strip().replace("^", "**"), node) or repr(node.value)
    return CONTEXT.create_decimal(written.replace("_", ""))


def _called(name: str, values: list[Decimal]) -> Decimal:
    known = _FUNCTIONS.get(name)
    if known is None:
        raise BadExpression(f"there is no function {name[:40]}; known are {', '.join(sorted(_FUNCTIONS))}")
    least, most, work = known
    if not least <= len(values) <= most:
        raise BadExpression(f"{name} takes {least} to {most} values, and was given {len(values)}")
    return work(*values)


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > MAX_EXPONENT:
        raise BadExpression(f"the exponent is larger than {MAX_EXPONENT}")
    return CONTEXT.power(base, exponent)


def _modulo(value: Decimal, by: Decimal) -> Decimal:
    """The remainder with the divisor's sign, as in mathematics."""
    rest = CONTEXT.remainder(value, by)
    return CONTEXT.add(rest, by) if rest and (rest < 0) != (by < 0) else rest


def _factorial(value: Decimal) -> Decimal:
    if value != value.to_integral_value() or not 0 <= value <= MAX_FACTORIAL:
        raise BadExpression(f"factorials are of whole numbers from 0 to {MAX_FACTORIAL}")
    return CONTEXT.create_decimal(math.factorial(int(value)))


def _rounded(value: Decimal, digits: Decimal = Decimal(0)) -> Decimal:
    if digits != digits.to_integral_value() or abs(digits) > 40:
        raise BadExpression("round takes a whole number of digits up to 40")
    return value.quantize(Decimal(1).scaleb(-int(digits)), decimal.ROUND_HALF_UP, CONTEXT)


def _log(value: Decimal, base: Decimal | None = None) -> Decimal:
    found = CONTEXT.ln(value)
    return found if base is None else CONTEXT.divide(found, CONTEXT.ln(base))


def _of_floats(work: Callable[[float], float]) -> Callable[[Decimal], Decimal]:
    return lambda value: CONTEXT.create_decimal(repr(round(work(float(value)), 15)))


def _to_integral(rounding: str) -> Callable[[Decimal], Decimal]:
    return lambda value: value.to_integral_value(rounding, CONTEXT)


_CONSTANTS = {
    "pi": Decimal("3.14159265358979323846264338327950288419716939937510582097494"),
    "e": Decimal("2.71828182845904523536028747135266249775724709369995957496697"),
}
_OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: CONTEXT.add,
    ast.Sub: CONTEXT.subtract,
    ast.Mult: CONTEXT.multiply,
    ast.Div: CONTEXT.divide,
    ast.FloorDiv: lambda value, by: CONTEXT.divide(value, by).to_integral_value(decimal.ROUND_FLOOR),
    ast.Mod: _modulo,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Decimal]]] = {
    "sqrt": (1, 1, CONTEXT.sqrt),
    "abs": (1, 1, CONTEXT.abs),
    "round": (1, 2, _rounded),
    "floor": (1, 1, _to_integral(decimal.ROUND_FLOOR)),
    "ceil": (1, 1, _to_integral(decimal.ROUND_CEILING)),
    "ln": (1, 1, _log),
    "log": (1, 2, _log),
    "log10": (1, 1, CONTEXT.log10),
    "log2": (1, 1, lambda value: _log(value, Decimal(2))),
    "exp": (1, 1, lambda value: _power(_CONSTANTS["e"], value)),
    "sin": (1, 1, _of_floats(math.sin)),
    "cos": (1, 1, _of_floats(math.cos)),
    "tan": (1, 1, _of_floats(math.tan)),
    "asin": (1, 1, _of_floats(math.asin)),
    "acos": (1, 1, _of_floats(math.acos)),
    "atan": (1, 1, _of_floats(math.atan)),
    "radians": (1, 1, lambda value: CONTEXT.divide(CONTEXT.multiply(value, _CONSTANTS["pi"]), Decimal(180))),
    "degrees": (1, 1, lambda value: CONTEXT.divide(CONTEXT.multiply(value, Decimal(180)), _CONSTANTS["pi"])),
    "factorial": (1, 1, _factorial),
    "min": (1, 20, min),
    "max": (1, 20, max),
}
