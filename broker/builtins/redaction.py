"""Taking secrets out of what a tool gives back: a vendor may echo what it was sent."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

LEFT_OUT = "[secret]"
MIN_CHARS = 6
"""Shorter values would be found by chance in ordinary text."""
_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


class Redaction:
    """The secrets of one call, in every form in which they are sent."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms: list[str] = []
        """The longest first: one may hold another."""
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        if len(secret) < MIN_CHARS:
            return
        encoded = base64.b64encode(secret.encode()).decode()
        forms = {*self._forms, secret, quote(secret, safe=""), quote_plus(secret), encoded}
        self._forms = sorted(forms, key=len, reverse=True)

    def of_headers(self, headers: Mapping[str, str]) -> None:
        """Learn the credentials in headers, such as ``Basic …``."""
        for name, value in headers.items():
            if name.lower() in _CREDENTIAL_HEADERS:
                self.add(value.rpartition(" ")[2])

    def of(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, LEFT_OUT)
        return text

    def of_json(self, value: Any) -> Any:
        """A JSON value without the secrets, names included."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.of(value)
        if isinstance(value, list):
            return [self.of_json(item) for item in value]
        if isinstance(value, dict):
            return {self.of(name): self.of_json(item) for name, item in value.items()}
        return value


def texts_in(value: Any) -> list[str]:
    """Every text of a configuration's secret values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    return []
