"""A provider's stream of ``chat.completion.chunk`` objects, decoded."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.error_types import neutral_type
from gateway.inference.dialects.events import (
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.frames import FrameOverflow, FrameSplitter, data_lines
from gateway.inference.dialects.openai_chat.deltas import ChoiceReader
from gateway.inference.dialects.openai_chat.extras import extra
from gateway.inference.dialects.openai_chat.responses import seconds
from gateway.inference.dialects.openai_chat.usage import decode_usage, unexplained, usage_in
from gateway.inference.dialects.openai_chat.wire import MAX_CHOICES
from kit.json import NOT_JSON

_MAX_EXTRA_FIELDS = 64
_KNOWN = {"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"}


class ChatStreamDecoder:
    """See ``codec.StreamDecoder``. A choice is finished, and the stream with it, only when ``[DONE]`` or the
    provider's end has come: usage and a sound's last words follow the reason to stop. A stream without
    ``[DONE]`` is complete if all its choices had a reason."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._frames = FrameSplitter()
        self._choices: dict[int, ChoiceReader] = {}
        self._started = False
        self._over = False
        self._id = ""
        self._first: dict[str, Any] = {}
        self._late: dict[str, Any] = {}
        self._usage: Any = None
        self._tier: Any = None

    def feed(self, data: bytes) -> list[Event]:
        if self._over:
            return []
        try:
            frames = self._frames.feed(data)
        except FrameOverflow as overflow:
            return self._fail(Failed(message=f"The provider sent {overflow}."))
        events: list[Event] = []
        for frame in frames:
            self._frame(frame, events)
        return events

    def end(self) -> list[Event]:
        events: list[Event] = []
        if not self._over:
            self._frame(self._frames.rest(), events)
        if not self._over and self._choices and all(choice.reason for choice in self._choices.values()):
            self._finish(events)
        self._over = True
        return events

    def _frame(self, frame: bytes, events: list[Event]) -> None:
        if not frame.startswith(b"data:") and b"\ndata:" not in frame:
            return
        for data in data_lines(frame):
            if self._over:
                return
            if data.strip() == b"[DONE]":
                self._finish(events)
                continue
            try:
                chunk = msgspec.json.decode(data)
            except NOT_JSON:
                continue
            if isinstance(chunk, dict):
                self._chunk(chunk, events)

    def _chunk(self, chunk: dict[str, Any], events: list[Event]) -> None:
        choices = chunk.get("choices")
        entries = [entry for entry in choices if isinstance(entry, dict)] if isinstance(choices, list) else []
        failed = _failure(chunk, entries)
        if failed is not None:
            events += self._fail(failed)
            return
        self._note(chunk, entries, events)
        for place, entry in enumerate(entries):
            index = entry.get("index")
            number = index if isinstance(index, int) and not isinstance(index, bool) else place
            if not 0 <= number < MAX_CHOICES:
                continue
            if number not in self._choices:
                self._choices[number] = ChoiceReader(number, self._origin, self._id)
            events += self._choices[number].read(entry)

    def _note(self, chunk: dict[str, Any], entries: list[dict[str, Any]], events: list[Event]) -> None:
        """Take note of what stands beside the choices. The stream starts with the first choice: Azure sends
        a chunk without an id before it."""
        self._usage = usage_in(chunk) or self._usage
        self._tier = chunk.get("service_tier") or self._tier
        for name, value in chunk.items():
            if name in _KNOWN or value is None or self._first.get(name) == value:
                continue
            fields = self._late if self._started else self._first
            if len(fields) < _MAX_EXTRA_FIELDS:
                fields[name] = value
        if entries and not self._started:
            self._start(chunk, events)

    def _start(self, chunk: Mapping[str, Any], events: list[Event]) -> None:
        self._started = True
        answer_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
        self._id = answer_id if isinstance(answer_id, str) else ""
        events.append(
            Started(
                id=self._id,
                model=model if isinstance(model, str) else "",
                created_s=seconds(created),
                extra=extra(self._first),
            )
        )

    def _finish(self, events: list[Event]) -> None:
        self._over = True
        if not self._started:
            return
        for _, choice in sorted(self._choices.items()):
            events += choice.finish()
        usage = decode_usage(self._usage, tier=self._tier)
        if left := unexplained(self._usage, usage):
            self._late["usage"] = left
        events.append(Finished(usage=usage, extra=extra(self._late)))

    def _fail(self, failed: Failed) -> list[Event]:
        self._over = True
        return [failed]


def _failure(chunk: Mapping[str, Any], entries: list[dict[str, Any]]) -> Failed | None:
    """An error object where a chunk should be (in a choice at OpenRouter, unwrapped at vLLM)."""
    error: Any = chunk.get("error")
    for entry in entries:
        error = error or entry.get("error")
    if not error and chunk.get("object") == "error":
        error = chunk
    if not error:
        return None
    if not isinstance(error, dict):
        return Failed(message=str(error))
    message, kind, code = error.get("message"), error.get("type"), error.get("code")
    said = None if code is None else str(code)
    return Failed(
        message=message if isinstance(message, str) else "The provider failed without saying why.",
        type=neutral_type(kind, said),
        code=said,
    )
