"""Streams of OpenAI Responses for a client, in the order and with the fields that OpenAI's have."""

from typing import Any

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    HiddenThinking,
    Image,
    Refusal,
    Request,
    ServerBlock,
    StopReason,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.envelope import ending, envelope, response_id
from gateway.inference.dialects.openai_responses.failure import NEVER_STARTED, tell_failure
from gateway.inference.dialects.openai_responses.ordering import InOrder
from gateway.inference.dialects.openai_responses.output import Item, ItemMaker, begins_item, unknown_parts
from gateway.inference.dialects.openai_responses.reading import NAME, own
from gateway.inference.dialects.openai_responses.stream_writers import (
    CallWriter,
    Frames,
    MessageWriter,
    PartWriter,
    ReasoningWriter,
    WholeWriter,
    Writer,
)
from gateway.inference.dialects.openai_responses.usage import encode_usage


class ResponsesStreamEncoder:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._frames = Frames()
        self._order = InOrder()
        self._response: dict[str, Any] = {}
        self._make = ItemMaker(request, "")
        self._output: list[Item] = []
        self._message: MessageWriter | None = None
        self._writer: Writer | None = None
        self._usage: TokenUsage | None = None
        self._stop: StopReason | None = None
        self._refused = False
        self._made_here = self._over = False

    def feed(self, event: Event) -> bytes:
        for ordered in () if self._over else self._order.feed(event):
            self._write(ordered)
        return self._frames.take()

    def _write(self, event: Event) -> None:
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, BlockStarted):
            self._open(event.block, event.index)
        elif isinstance(event, BlockStopped):
            self._close_block()
        elif isinstance(event, ChoiceFinished):
            self._stop = event.stop
            self._response |= own(event.extra)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            self._fail(event)
        elif self._writer is not None:
            self._writer.write(event)

    def _start(self, event: Started) -> None:
        made_id = response_id(event.id)
        self._make = ItemMaker(self._request, made_id)
        self._usage = event.usage
        self._made_here = event.extra is not None and event.extra.dialect == NAME
        self._response = {
            **envelope(self._request),
            "id": made_id,
            "created_at": event.created_s or 0,
            "model": event.model,
            **own(event.extra),
        }
        self._frames.emit("response.created", {"response": self._response})
        self._frames.emit("response.in_progress", {"response": self._response})

    def _open(self, block: Block, index: int) -> None:
        if isinstance(block, Audio):
            block = Text(text=block.transcript or "")
        if isinstance(block, Text | Refusal):
            self._open_part(block, index)
            return
        if self._message is not None and unknown_parts(block):
            for part in unknown_parts(block):
                self._message.add(part)
            return
        self._writer = self._item_writer(block, index)

    def _open_part(self, block: Text | Refusal, index: int) -> None:
        self._refused |= isinstance(block, Refusal)
        if begins_item(block):
            self._close_message()
        if self._message is None:
            item = self._make.message(block, index)
            self._message = MessageWriter(self._frames, item, len(self._output))
        self._writer = PartWriter(self._frames, self._message, block, self._make)

    def _item_writer(self, block: Block, index: int) -> Writer | None:
        """None for what a client of this dialect cannot be shown."""
        item: Item | None = None
        if isinstance(block, Image):
            item = self._make.image(block, index)
        elif isinstance(block, ServerBlock) and block.dialect == NAME:
            item = block.data
        elif not isinstance(block, ToolUse | Thinking | HiddenThinking):
            return None
        self._close_message()
        place = len(self._output)
        if isinstance(block, ToolUse):
            return CallWriter(self._frames, place, block, self._make, index)
        if isinstance(block, Thinking | HiddenThinking):
            return ReasoningWriter(self._frames, place, block, self._make, index)
        return None if item is None else WholeWriter(self._frames, place, item)

    def _close_block(self) -> None:
        if self._writer is not None:
            item = self._writer.stop()
            if item is not None:
                self._output.append(item)
        self._writer = None

    def _close_message(self, status: str | None = None) -> None:
        if self._message is not None:
            if status is not None:
                self._message.item["status"] = status
            self._output.append(self._message.close())
        self._message = None

    def _finish(self, event: Finished) -> None:
        self._over = True
        status, incomplete, error = ending(self._stop, refused=self._refused)
        self._close_message("incomplete" if status == "incomplete" and not self._made_here else None)
        usage = event.usage or self._usage
        said = {name: self._response[name] for name in ("status", "incomplete_details", "error")}
        odd = said if said["status"] != "in_progress" else {}
        self._response |= {"status": status, "incomplete_details": incomplete, "error": error, **odd}
        self._response |= own(event.extra)
        self._response["output"] = self._output
        self._response["usage"] = None if usage is None else encode_usage(usage)
        if self._response["status"] in ("completed", "incomplete", "failed"):
            status = self._response["status"]
        self._frames.emit(f"response.{status}", {"response": self._response})

    def _fail(self, event: Failed) -> None:
        self._over = True
        if not self._response:
            self._start(Started(id=NEVER_STARTED, model=self._request.model))
        tell_failure(self._frames, {**self._response, "output": self._output}, event)
