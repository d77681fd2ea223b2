"""Streams: every event is a GenerateContentResponse with more parts; the last ones have reasons to finish.

Nothing marks the end: a stream is complete when every candidate has its reason and the bytes have ended.
"""

from dataclasses import replace
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.frames import FrameOverflow, FrameSplitter, data_lines
from gateway.inference.dialects.google.calls import CallIds
from gateway.inference.dialects.google.candidate_stream import CandidateStream
from gateway.inference.dialects.google.finish import failure
from gateway.inference.dialects.google.reading import extra
from gateway.inference.dialects.google.responses import ANSWER, is_blocked
from gateway.inference.dialects.google.usage import input_parts, read_usage, searches_of, uncounted
from kit.json import NOT_JSON

MAX_CANDIDATES = 128
_KNOWN = {"candidates", "usageMetadata", "modelVersion", "responseId"}


class GoogleStreamDecoder:
    """See ``codec.StreamDecoder``."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._frames = FrameSplitter()
        self._candidates: dict[int, CandidateStream] = {}
        self._started = False
        self._failed = False
        self._blocked = False
        self._id = ""
        self._model = ""
        self._usage: TokenUsage | None = None
        self._searches = 0
        self._rest: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[Event]:
        if self._failed:
            return []
        try:
            frames = self._frames.feed(data)
        except FrameOverflow as overflow:
            self._failed = True
            return [Failed(message=str(overflow))]
        events: list[Event] = []
        for frame in frames:
            for line in data_lines(frame):
                events += self._event(line)
        return events

    def end(self) -> list[Event]:
        rest = self._frames.rest()
        events: list[Event] = []
        if rest.strip():
            for line in data_lines(rest):
                events += self._event(line)
            if not self._started:
                events += self._event(rest)  # an error may come as plain JSON
        if self._failed or not self._is_complete():
            return events
        for number in sorted(self._candidates):
            events += self._candidates[number].finish()
        if not self._candidates:
            events.append(ChoiceFinished(stop="refusal"))
        events.append(Finished(usage=self._usage, extra=extra(self._rest)))
        return events

    def _is_complete(self) -> bool:
        if self._candidates:
            return all(candidate.finished for candidate in self._candidates.values())
        return self._blocked

    def _event(self, line: bytes) -> list[Event]:
        if self._failed:
            return []
        try:
            chunk = msgspec.json.decode(line)
        except NOT_JSON:
            return []
        if isinstance(chunk, list) and chunk:
            chunk = chunk[0]
        if not isinstance(chunk, dict):
            return []
        if "error" in chunk:
            self._failed = True
            return [failure(chunk["error"])]
        if not any(name in chunk for name in ANSWER):
            return []
        try:
            return self._answer(chunk)
        except RecursionError:
            self._failed = True
            return [Failed(message="the provider's answer is nested too deeply")]

    def _answer(self, chunk: dict[str, Any]) -> list[Event]:
        candidates = chunk.get("candidates")
        found = candidates if isinstance(candidates, list) else []
        candidates = [candidate for candidate in found if isinstance(candidate, dict)]
        if isinstance(chunk.get("modelVersion"), str):
            self._model = chunk["modelVersion"]
        self._count(chunk, candidates)
        events: list[Event] = []
        if not self._started:
            self._started = True
            self._id = chunk["responseId"] if isinstance(chunk.get("responseId"), str) else ""
            events.append(Started(id=self._id, model=self._model, usage=_input_of(self._usage)))
        self._blocked = self._blocked or is_blocked(chunk)
        for name, value in chunk.items():
            if name not in _KNOWN:
                self._rest[name] = value
        for candidate in candidates:
            events += self._candidate(candidate.get("index")).feed(candidate)
        return events

    def _count(self, chunk: dict[str, Any], candidates: list[dict[str, Any]]) -> None:
        self._searches = max(self._searches, searches_of(candidates, self._model))
        usage = read_usage(chunk.get("usageMetadata"), searches=self._searches)
        if usage is not None:
            self._usage = usage
            if rest := uncounted(chunk["usageMetadata"]):
                self._rest["usageMetadata"] = rest

    def _candidate(self, index: Any) -> CandidateStream:
        number = index if isinstance(index, int) and 0 <= index < MAX_CANDIDATES else 0
        if number not in self._candidates:
            ids = CallIds(f"{self._id}\n{number}")
            self._candidates[number] = CandidateStream(number, self._origin, ids)
        return self._candidates[number]


def _input_of(usage: TokenUsage | None) -> TokenUsage | None:
    return (
        None
        if usage is None
        else replace(
            usage, output_tokens=0, reasoning_tokens=0, web_searches=0, parts=input_parts(usage.parts)
        )
    )
