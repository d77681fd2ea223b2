"""What the subscriber of a turn is told, over as many connections as it takes."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

STEP_BEGINS = frozenset({"qlaud.iteration_start", "message_start"})
TOOL_EVENTS = frozenset({"qlaud.tool_dispatch_start", "qlaud.tool_dispatch_done"})

Event = dict[str, Any]


@dataclass
class Subscriber:
    """Reads streams of one turn; remembers the ids."""

    turn_id: str = ""
    ids: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def read(self, client: httpx.AsyncClient, method: str, path: str, **request: Any) -> None:
        """Until the stream ends, or the server."""
        frame: list[str] = []
        try:
            async with client.stream(method, path, **request) as answer:
                if answer.status_code != 200:
                    raise AssertionError((await answer.aread()).decode())
                self.turn_id = answer.headers.get("x-heddle-turn-id", self.turn_id)
                async for line in answer.aiter_lines():
                    if line:
                        frame.append(line)
                        continue
                    self._take(frame)
                    frame = []
        except httpx.TransportError:
            return

    async def resume(self, client: httpx.AsyncClient, thread_id: str) -> None:
        path = f"/v1/threads/{thread_id}/turns/{self.turn_id}/events"
        await self.read(client, "GET", path, headers={"last-event-id": str(max(self.ids, default=0))})

    def _take(self, frame: list[str]) -> None:
        event = json.loads(frame[-1].removeprefix("data: "))
        if event["type"] != "ping":
            self.ids.append(int(frame[1].removeprefix("id: ")))
            self.events.append(event)


def story(events: list[Event]) -> list[Any]:
    """What a client makes of a turn's events: a step that begins again takes the place of what was shown of
    it, deltas of a block are one text, and tools of a step come in any order."""
    kept: list[Event] = []
    begun: int | None = None
    for event in events:
        kind = event["type"]
        if kind in STEP_BEGINS:
            if begun is None:
                begun = len(kept)
            elif kind != "message_start" or "message_start" in {one["type"] for one in kept[begun:]}:
                del kept[begun:]
        elif kind == "message_stop":
            begun = None
        kept.append(event)
    told: list[Any] = []
    for event in kept:
        if event["type"] in TOOL_EVENTS:
            _among_tools(told, event)
        elif event["type"] == "content_block_delta":
            _joined(told, event)
        elif event["type"] == "qlaud.done":
            same = ("iterations", "seq", "hit_max_iterations", "incomplete")
            told.append(("done", *(event.get(name) for name in same)))
        else:
            told.append(event)
    return told


def _among_tools(told: list[Any], event: Event) -> None:
    """The starts, and the ends, of a step's tools are a set each."""
    started = event["type"] == "qlaud.tool_dispatch_start"
    if not (told and isinstance(told[-1], dict) and "starts" in told[-1]):
        told.append({"starts": [], "ends": []})
    named = (event["iteration"], event["tool_use_id"], event["name"])
    if not started:
        assert named in told[-1]["starts"], f"{named} ended before it began"
    told[-1]["starts" if started else "ends"].append(named)
    told[-1]["starts" if started else "ends"].sort()


def _joined(told: list[Any], event: Event) -> None:
    kind, delta = event["delta"]["type"], dict(event["delta"])
    del delta["type"]
    ((name, text),) = delta.items()
    last = told[-1]
    if isinstance(last, list) and last[:3] == [event["index"], kind, name]:
        last[3] += text
    else:
        told.append([event["index"], kind, name, text])
