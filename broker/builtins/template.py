"""The template language of ``http-call``: ``{{input.x}}``, ``{{secrets.x}}``, ``{{end_user.id}}``,
``{{thread.id}}``, ``{{metadata.x}}``; paths go on with dots.

Invariant: a value never changes what surrounds it. In JSON it stays a value or a part of its string, in a URL
a part of one segment or one query value, in a header a part of that header.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from broker.builtins.answers import at
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import bad_config
from kit.json import NOT_JSON

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_NAME = re.compile(r"(input|secrets|metadata)(\.[A-Za-z0-9_-]{1,64}){1,8}|end_user\.id|thread\.id")
_HEADER_SAFE = re.compile(r"[\x20-\x7e]*")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True)
class Values:
    """What placeholders stand for. A name that nobody gave stands for null, in a text for nothing."""

    input: Mapping[str, Any]
    secrets: Mapping[str, Any]
    metadata: Mapping[str, Any]
    end_user_id: str | None
    thread_id: str | None

    def __getitem__(self, name: str) -> Any:
        """Raises BuiltinFailed for a session that has no end user or no thread."""
        root, _, rest = name.partition(".")
        if root in {"end_user", "thread"}:
            value = self.end_user_id if root == "end_user" else self.thread_id
            if value is None:
                raise BuiltinFailed(
                    f"It needs the {root.replace('_', ' ')}'s id, and there is none here.",
                    status=f"{root}_required",
                )
            return value
        return at(dict(getattr(self, root)), rest)


def in_json(template: str, values: Values) -> str:
    """JSON text. Within a JSON string a value is a part of it, elsewhere a value of its own."""

    def string(found: re.Match[str]) -> str:
        return _filled(found.group(), lambda name: _quoted(_as_text(values[name]))[1:-1])

    pieces: list[str] = []
    end = 0
    for found in _JSON_STRING.finditer(template):
        pieces += [_filled(template[end : found.start()], lambda name: _encoded(values[name])), string(found)]
        end = found.end()
    return "".join([*pieces, _filled(template[end:], lambda name: _encoded(values[name]))])


def in_url(template: str, values: Values) -> str:
    """A URL. Raises BuiltinFailed if a value would change its path."""

    def part_of_path(name: str) -> str:
        value = _as_text(values[name])
        if not value:
            raise BuiltinFailed(f"{name} is missing, and the address needs it.", status="invalid_arguments")
        return quote(value, safe="")

    path, mark, query = template.partition("?")
    path = _filled(path, part_of_path)
    if any(unquote(part) in {".", ".."} for part in urlsplit(path).path.split("/")):
        raise BuiltinFailed('"." and ".." cannot be parts of the address.', status="invalid_arguments")
    return path + mark + _filled(query, lambda name: quote(_as_text(values[name]), safe=""))


def in_header(name: str, template: str, values: Values) -> str:
    """A header's value. Raises BuiltinFailed for characters that headers cannot carry."""
    value = _filled(template, lambda place: _as_text(values[place]))
    if not _HEADER_SAFE.fullmatch(value):
        raise BuiltinFailed(
            f"The header {name} can only carry printable ASCII, and a value has other characters.",
            status="invalid_arguments",
        )
    return value.strip()


def in_form(template: str, values: Values) -> str:
    return _filled(template, lambda name: quote(_as_text(values[name]), safe=""))


def in_text(template: str, values: Values) -> str:
    return _filled(template, lambda name: _as_text(values[name]))


def value_of(template: str, values: Values) -> Any:
    """What a template stands for: the value itself if it is one placeholder, else a text."""
    whole = _PLACEHOLDER.fullmatch(template.strip())
    return values[whole.group(1)] if whole else in_text(template, values)


def check_template(
    place: str, template: str, *, secrets: Mapping[str, Any], session_only: bool = False
) -> None:
    """Raises InvalidRequest for a placeholder that can stand for nothing."""
    for found in _PLACEHOLDER.finditer(template):
        name = found.group(1)
        root, _, rest = name.partition(".")
        if not _NAME.fullmatch(name) or (session_only and root in {"input", "secrets"}):
            known = "end_user.id, thread.id or metadata.x"
            wanted = known if session_only else f"input.x, secrets.x, {known}"
            raise bad_config(place, f"{found.group()[:80]} stands for nothing; expected {wanted}")
        if root == "secrets" and rest not in secrets:
            raise bad_config(place, f"there is no secret {rest}")
    if "{{" in _PLACEHOLDER.sub("", template):
        raise bad_config(place, "a placeholder is not closed")


def check_json(place: str, template: str) -> None:
    """Raises InvalidRequest unless the text is JSON whatever the placeholders stand for."""
    nothing = Values({}, {}, {}, "", "")
    try:
        msgspec.json.decode(in_json(template, nothing))
    except NOT_JSON:
        raise bad_config(place, "with its placeholders filled in, it is not JSON") from None


def without_placeholders(template: str) -> str:
    return _PLACEHOLDER.sub("x", template)


def has_placeholder(template: str) -> bool:
    return _PLACEHOLDER.search(template) is not None


def _filled(template: str, value: Callable[[str], str]) -> str:
    return _PLACEHOLDER.sub(lambda found: value(found.group(1)), template)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _encoded(value)


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _quoted(words: str) -> str:
    return _encoded(words)
