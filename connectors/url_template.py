"""URLs with places for values that somebody typed in, such as ``https://{subdomain}.zendesk.com/oauth/tokens``.

Invariant: no value moves a filled URL to a host that its template's author did not mean. A value in the host
is one DNS label before at least two fixed ones, or one of a closed list; a value behind the host is made of
unreserved characters (RFC 3986, section 2.3). Whatever else a schema says of the value is checked besides.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_PARTS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[A-Za-z0-9.{}_-]+)(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>[/?][^#\s]*)?"
)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE | re.ASCII)
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]{1,200}")
_FIXED_LABELS = 2

Choices = Mapping[str, Collection[str]]
"""The fields whose value is one of a closed list."""


class BadUrlValue(ValueError):
    """A value cannot stand where the template has it; ``field`` is its name."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


def placeholders(text: str) -> frozenset[str]:
    """The names of the values that ``text`` asks for."""
    return frozenset(PLACEHOLDER.findall(text))


def filled_text(template: str, values: Mapping[str, str]) -> str:
    """A text other than an address, with somebody's values; what nobody has given is empty."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template)


def template_faults(template: str, choices: Choices, *, plain_http: bool = False) -> Iterator[str]:
    """What is wrong with a template, each as what was expected.

    Plain http is for loopback addresses, or everywhere with ``plain_http``.
    """
    parts = _PARTS.fullmatch(template)
    if parts is None:
        yield "expected https://host/path, without user, fragment or spaces"
        return
    host = parts["host"]
    fixed = PLACEHOLDER.sub("", host), PLACEHOLDER.sub("", parts["rest"] or "")
    if set("{}_") & set(fixed[0]) or set("{}") & set(fixed[1]):
        yield "expected placeholders such as {subdomain}: a name of small letters, digits and _ in braces"
        return
    if not host.startswith("[") and not _is_host_name(PLACEHOLDER.sub("x", host)):
        yield "expected a host name of labels with dots"
    if parts["scheme"] == "http" and not plain_http and not _is_loopback(host):
        yield "expected https"
    if placeholders(host) - choices.keys():
        labels = host.split(".")
        last = max(index for index, label in enumerate(labels) if PLACEHOLDER.search(label))
        if len(labels) - 1 - last < _FIXED_LABELS:
            yield "expected two or more fixed labels behind a placeholder in the host, or an enum for it"


def fill_url(template: str, values: Mapping[str, str], choices: Choices) -> str:
    """The URL for somebody's values. Raises BadUrlValue naming the field that is missing or unfit."""
    parts = _PARTS.fullmatch(template)
    if parts is None:
        raise BadUrlValue("url", "a template that was checked")

    def in_host(found: re.Match[str]) -> str:
        value = _value(found[1], values, choices)
        if found[1] not in choices and not _LABEL.fullmatch(value):
            raise BadUrlValue(found[1], "letters, digits and inner hyphens, without dots")
        return value.lower()

    def behind_host(found: re.Match[str]) -> str:
        value = _value(found[1], values, choices)
        if not _UNRESERVED.fullmatch(value) or set(value) == {"."}:
            raise BadUrlValue(found[1], "letters, digits and . _ ~ -")
        return value

    host = PLACEHOLDER.sub(in_host, parts["host"])
    for name in placeholders(parts["host"]):
        if not _is_host_name(host):
            raise BadUrlValue(name, "a value that makes a host name")
    rest = PLACEHOLDER.sub(behind_host, parts["rest"] or "")
    url = f"{parts['scheme']}://{host}{parts['port'] or ''}{rest}"
    assert urlsplit(url).hostname == host.lower().strip("[]")
    return url


def _value(name: str, values: Mapping[str, str], choices: Choices) -> str:
    value = values.get(name, "")
    if not value:
        raise BadUrlValue(name, "a value")
    if name in choices and value not in choices[name]:
        raise BadUrlValue(name, f"one of {', '.join(sorted(choices[name]))}")
    return value


def _is_host_name(host: str) -> bool:
    return all(_LABEL.fullmatch(label) for label in host.split("."))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
