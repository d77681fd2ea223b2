"""A client of turns written from nothing but the published list of events, as simple as real ones are: frames
end in LF LF, each has one ``data: `` line of JSON."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

FRAME = re.compile(rb"event: ([a-z_.]+)\nid: (0|[1-9][0-9]*)\ndata: (\{[^\n]*\})")
TEXT_DELTA = re.compile(
    r'\{"type":"content_block_delta","index":\d+,"delta":\{"type":"text_delta","text":"(?:[^"\\]|\\.)*"\}\}'
)


@dataclass
class Step:
    """One ``message_start … message_stop`` bracket."""

    iteration: int
    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    open: bool = True

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [block for block in self.blocks if block["type"] == "tool_use"]


@dataclass
class TurnClient:
    """Takes bytes, in whatever pieces, and says what the turn came to."""

    steps: list[Step] = field(default_factory=list)
    started: dict[str, str] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] | None = None
    last_id: int = 0
    _iteration: int = 1
    _rest: bytes = b""
    _json: str = ""

    def feed(self, data: bytes) -> None:
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        found = FRAME.fullmatch(frame)
        assert found is not None, frame
        event = json.loads(found[3])
        assert event["type"] == found[1].decode(), frame
        assert json.dumps(event, separators=(",", ":"), ensure_ascii=False) == found[3].decode(), frame
        if event["type"] == "ping":
            assert int(found[2]) == self.last_id, frame
            return
        assert int(found[2]) > self.last_id, frame
        self.last_id = int(found[2])
        kind = event["type"].removeprefix("qlaud.")
        getattr(self, f"_{kind}")(event, found[3].decode())

    def _message_start(self, _event: dict[str, Any], _raw: str) -> None:
        self._drop_unfinished()  # this step is being told again
        self.steps.append(Step(self._iteration))
        self.done = None

    def _drop_unfinished(self) -> None:
        if self.steps and self.steps[-1].open and self.steps[-1].iteration == self._iteration:
            self.steps.pop()

    def _content_block_start(self, event: dict[str, Any], _raw: str) -> None:
        assert event["index"] == len(self.steps[-1].blocks)
        self.steps[-1].blocks.append(dict(event["content_block"]))
        self._json = ""

    def _content_block_delta(self, event: dict[str, Any], raw: str) -> None:
        assert event["index"] == len(self.steps[-1].blocks) - 1
        delta, block = event["delta"], self.steps[-1].blocks[-1]
        if delta["type"] == "text_delta":
            assert TEXT_DELTA.fullmatch(raw), raw
            block["text"] += delta["text"]
        elif delta["type"] == "input_json_delta":
            assert list(delta) == ["type", "partial_json"]
            self._json += delta["partial_json"]

    def _content_block_stop(self, _event: dict[str, Any], _raw: str) -> None:
        block = self.steps[-1].blocks[-1]
        if block["type"] == "tool_use":
            block["input"] = json.loads(self._json or "{}")
            block["stopped"] = True

    def _message_delta(self, event: dict[str, Any], _raw: str) -> None:
        self.steps[-1].stop_reason = event["delta"]["stop_reason"]

    def _message_stop(self, _event: dict[str, Any], _raw: str) -> None:
        self.steps[-1].open = False

    def _iteration_start(self, event: dict[str, Any], _raw: str) -> None:
        assert event["iteration"] in {self._iteration, self._iteration + 1}
        assert event["iteration"] > 1
        self._drop_unfinished()
        self._iteration = event["iteration"]
        self.done = None

    def _tool_dispatch_start(self, event: dict[str, Any], _raw: str) -> None:
        (call,) = [call for call in self.steps[-1].calls if call["id"] == event["tool_use_id"]]
        assert call["stopped"] and event["iteration"] == self._iteration and not self.steps[-1].open
        self.started[event["tool_use_id"]] = event["name"]
        self.done = None

    def _tool_dispatch_done(self, event: dict[str, Any], _raw: str) -> None:
        assert self.started[event["tool_use_id"]] == event["name"]
        assert event["tool_use_id"] not in self.results
        self.results[event["tool_use_id"]] = event
        self.done = None

    def _requires_action(self, event: dict[str, Any], _raw: str) -> None:
        self.actions = event["actions"]

    def _error(self, event: dict[str, Any], _raw: str) -> None:
        self.errors.append(event)

    def _done(self, event: dict[str, Any], _raw: str) -> None:
        assert self.done is None
        self.done = event
