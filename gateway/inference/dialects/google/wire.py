"""What it takes to call Gemini over HTTP."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.billing.prices import Counts
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.server_tools import objects, offered

_FREE = frozenset({"functionDeclarations", "computerUse"})
_PRICED_NAMES = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "googleMaps": "maps_search",
    "urlContext": "web_fetch",
    "codeExecution": "code_execution",
    "fileSearch": "file_search",
}
_COLLECTIONS = {"models", "tunedModels"}


class GoogleWire:
    """Only providers speak this dialect, so there is no request of a client to read."""

    name = NAME
    counts_tools = True

    def server_tools(self, body: Mapping[str, Any]) -> Counts:
        """Every tool but functions (ai.google.dev, Gemini API pricing: tools). One grounded prompt may make
        several queries."""
        names = {name for tool in objects(body.get("tools")) for name in tool if name not in _FREE}
        return offered((_PRICED_NAMES.get(name, name), None) for name in sorted(names))

    def path_of(self, model: str, *, stream: bool) -> str:
        """Below the provider's root, with its query. ``model`` may be a tuned one (``tunedModels/…``)."""
        collection, slash, name = model.partition("/")
        if not slash or collection not in _COLLECTIONS:
            collection, name = "models", model
        method = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        return f"/v1beta/{collection}/{quote(name, safe='')}{method}"

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - Gemini has none to forward
        headers = {"content-type": "application/json"}
        if api_key:
            headers["x-goog-api-key"] = api_key
        return headers
