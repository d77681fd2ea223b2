"""What it takes to call Gemini over HTTP and to read what a call has used."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.frames import FrameSplitter, data_lines
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.responses import is_blocked
from gateway.inference.dialects.google.streams import MAX_CANDIDATES
from gateway.inference.dialects.google.usage import read_usage, searches_of
from gateway.inference.dialects.server_tools import objects, offered
from kit.json import NOT_JSON

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

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        """The usage in a whole answer, or None if the provider reported none."""
        searches = searches_of(body.get("candidates"), str(body.get("modelVersion") or ""))
        return read_usage(body.get("usageMetadata"), searches=searches)

    def tap(self) -> "GoogleTap":
        return GoogleTap()


class GoogleTap:
    """Reads the newest usage of a stream; bytes pass unchanged. See ``dialect.StreamTap``."""

    def __init__(self) -> None:
        self.failed = False
        self._frames = FrameSplitter()
        self._usage: TokenUsage | None = None
        self._finished: dict[int, bool] = {}
        self._blocked = False
        self._searches = 0
        self._delivered = 0

    @property
    def complete(self) -> bool:
        """Right only once the bytes have ended."""
        finished = all(self._finished.values()) if self._finished else self._blocked
        return finished and not self.failed

    def feed(self, chunk: bytes) -> bytes:
        for frame in self._frames.feed(chunk):
            self._see(frame)
        return chunk

    def end(self) -> bytes:
        self._see(self._frames.rest())
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:
        counted = -(-self._delivered // BYTES_PER_TOKEN)
        if self._usage is None:
            return TokenUsage(input_tokens=input_estimate, output_tokens=counted, estimated=True)
        if self.complete:
            return self._usage
        return replace(self._usage, output_tokens=max(self._usage.output_tokens, counted), estimated=True)

    def _see(self, frame: bytes) -> None:
        for data in data_lines(frame):
            try:
                body = msgspec.json.decode(data)
            except NOT_JSON:
                continue
            if not isinstance(body, dict):
                continue
            self.failed = self.failed or "error" in body
            self._blocked = self._blocked or is_blocked(body)
            candidates = body.get("candidates")
            for candidate in candidates if isinstance(candidates, list) else ():
                if isinstance(candidate, dict):
                    self._candidate(candidate)
            searches = searches_of(candidates, str(body.get("modelVersion") or ""))
            self._searches = max(self._searches, searches)
            self._usage = read_usage(body.get("usageMetadata"), searches=self._searches) or self._usage

    def _candidate(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index")
        number = index if isinstance(index, int) and 0 <= index < MAX_CANDIDATES else 0
        ends = isinstance(candidate.get("finishReason"), str)
        self._finished[number] = self._finished.get(number, False) or ends
        self._delivered += len(msgspec.json.encode(candidate.get("content")))
