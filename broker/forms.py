"""The forms by which MCP servers ask end users: flat schemas, and answers that fit them.

Source: MCP specification 2026-07-28, client/elicitation, "Requested Schema": an object of texts, numbers,
booleans and choices, without nesting. What a schema says besides (``title``, ``pattern``, …) is shown to
whoever fills the form in, and not enforced here; the server has to check what it gets anyway.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kit.errors import InvalidRequest

MAX_SCHEMA_BYTES = 64 * 1024
MAX_FIELDS = 100
MAX_TEXT_CHARS = 20_000
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
SECRET_WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "passcode", "secret", "cvv", "cvc", "apikey", "token"),
        *("credential", "credentials"),
    )
)
SECRET_PHRASES = frozenset(
    ("api key", "private key", "secret key", "access key", "card number", "credit card", "security code")
)
NO_SECRETS = frozenset(("page token", "next token", "continuation token", "sync token"))
"""A field asks for a secret if its name or title ends with one of the words or phrases (``bot_token``, "Your
password", but not ``max_tokens`` or ``token_count``), or is ``pin``."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class UnusableForm(ValueError):
    """A schema that cannot be put before an end user; the message says where and why."""


def check_form(schema: Any) -> None:
    """Raises UnusableForm unless it is a flat form that asks for no secret."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise UnusableForm('requestedSchema: expected a schema of type "object"')
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise UnusableForm(f"requestedSchema: larger than {MAX_SCHEMA_BYTES} bytes")
    fields = schema.get("properties", {})
    if not isinstance(fields, dict) or len(fields) > MAX_FIELDS:
        raise UnusableForm(f"requestedSchema.properties: expected an object of at most {MAX_FIELDS} fields")
    required = schema.get("required", [])
    if not isinstance(required, list) or any(name not in fields for name in required):
        raise UnusableForm("requestedSchema.required: expected names of its properties")
    for name, field in fields.items():
        _check_field(f"requestedSchema.properties.{name}", name, field)


def fitting_content(schema: Mapping[str, Any], content: Any, *, param: str) -> dict[str, Any]:
    """The content, with the defaults of what it leaves out. Raises InvalidRequest naming the field that does
    not fit the schema (which ``check_form`` has passed)."""
    fields = schema.get("properties", {})
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise InvalidRequest(f"{param}: expected an object of the form's fields", param="actions")
    for name in content:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise InvalidRequest(
                f"{param}.{name[:100]}: the form has no such field; its fields are: {known}", param="actions"
            )
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    filled = {**defaults, **{name: value for name, value in content.items() if value is not None}}
    for name in schema.get("required", []):
        if name not in filled:
            raise InvalidRequest(f"{param}.{name}: the form requires it", param="actions")
    for name, value in filled.items():
        expected = _expected(fields[name], value)
        if expected is not None:
            raise InvalidRequest(f"{param}.{name}: expected {expected}", param="actions")
    return filled


def asks_for_secret(name: str, field: Mapping[str, Any]) -> bool:
    """Whether a field is for a password, a key, a token or a card's number: such things may only be asked by
    URL (specification, client/elicitation: form mode MUST NOT request sensitive information)."""
    if field.get("format") == "password" or field.get("writeOnly") is True:
        return True
    return any(_is_secret(text) for text in (name, field.get("title")) if isinstance(text, str))


def _is_secret(text: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(text[:200])]
    last_two = " ".join(words[-2:])
    if not words or last_two in NO_SECRETS:
        return False
    return words == ["pin"] or words[-1] in SECRET_WORDS or last_two in SECRET_PHRASES


def _check_field(place: str, name: str, field: Any) -> None:
    if not isinstance(field, dict):
        raise UnusableForm(f"{place}: expected a schema")
    if asks_for_secret(name, field):
        raise UnusableForm(f"{place}: secrets must be asked for by URL, not by a form")
    kind = field.get("type")
    if kind not in _CHECKS:
        raise UnusableForm(f"{place}.type: expected one of {', '.join(_CHECKS)}: forms are flat")
    if kind == "array" and _choices(field.get("items")) is None:
        raise UnusableForm(f"{place}.items: expected choices: enum, or anyOf with const")
    for limit in ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"):
        value = field.get(limit)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UnusableForm(f"{place}.{limit}: expected a number")
    if field.get("default") is None:
        field.pop("default", None)  # "no default", as several SDKs write it
    elif _expected(field, field["default"]) is not None:
        raise UnusableForm(f"{place}.default: expected {_expected(field, field['default'])}")


def _choices(schema: Any) -> list[Any] | None:
    """What may be chosen; None if the schema leaves it open."""
    if not isinstance(schema, dict):
        return None
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    for way in ("oneOf", "anyOf"):
        options = schema.get(way)
        if isinstance(options, list) and all(isinstance(one, dict) and "const" in one for one in options):
            return [one["const"] for one in options]
    return None


def _expected(field: Mapping[str, Any], value: Any) -> str | None:
    """What a value should have been; None if it fits."""
    return _CHECKS[field["type"]](field, value)


def _text(field: Mapping[str, Any], value: Any) -> str | None:
    choices = _choices(field)
    if choices is not None:
        return None if isinstance(value, str) and value in choices else _one_of(choices)
    least, most = field.get("minLength", 0), min(field.get("maxLength", MAX_TEXT_CHARS), MAX_TEXT_CHARS)
    if not isinstance(value, str) or not least <= len(value) <= most:
        return f"a text of {least:g} to {most:g} characters"
    fits, said = _FORMATS.get(field.get("format", ""), (None, ""))
    return None if fits is None or fits(value) else said


def _number(field: Mapping[str, Any], value: Any) -> str | None:
    whole = field["type"] == "integer"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (not whole or float(value).is_integer())
    least, most = field.get("minimum"), field.get("maximum")
    fits = fits and (least is None or value >= least) and (most is None or value <= most)
    bounds = [f"at least {least:g}"] if least is not None else []
    bounds += [f"at most {most:g}"] if most is not None else []
    said = f" of {' and '.join(bounds)}" if bounds else ""
    return None if fits else f"{'an integer' if whole else 'a number'}{said}"


def _boolean(_field: Mapping[str, Any], value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _several(field: Mapping[str, Any], value: Any) -> str | None:
    choices = _choices(field["items"]) or []
    least, most = field.get("minItems", 0), field.get("maxItems", len(choices))
    if not isinstance(value, list) or any(not isinstance(one, str) or one not in choices for one in value):
        return f"a list of {_one_of(choices)}"
    return None if least <= len(value) <= most else f"a list of {least:g} to {most:g} choices"


def _one_of(choices: list[Any]) -> str:
    return "one of " + ", ".join(str(choice)[:100] for choice in choices[:20])


def _is_uri(value: str) -> bool:
    try:
        return bool(urlsplit(value).scheme) and " " not in value
    except ValueError:
        return False


def _is_date(value: str) -> bool:
    return len(value) == 10 and _parses(date.fromisoformat, value)


def _is_time(value: str) -> bool:
    return "T" in value.upper() and _parses(datetime.fromisoformat, value)


def _parses(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "string": _text,
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "array": _several,
}
_FORMATS: dict[str, tuple[Callable[[str], object], str]] = {
    "email": (EMAIL.fullmatch, "an e-mail address"),
    "uri": (_is_uri, "a URI"),
    "date": (_is_date, "a date like 2026-07-28"),
    "date-time": (_is_time, "a date and time like 2026-07-28T12:00:00Z"),
}
