"""Blocks that overlap, put one after the other."""

from gateway.inference.dialects.events import (
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)


class InOrder:
    """Events of the first choice, with each block's between its start and its stop and no other's there.

    The events of a block wait while an earlier one is open. What is open when its choice ends is stopped.
    """

    def __init__(self) -> None:
        self._open: int | None = None
        self._waiting: dict[int, list[Event]] = {}

    def feed(self, event: Event) -> list[Event]:
        if isinstance(event, Started | Failed):
            return [event]
        if isinstance(event, Finished):
            return [*self._flush(), event]
        if event.choice != 0:
            return []
        if isinstance(event, ChoiceFinished):
            return [*self._flush(), event]
        if isinstance(event, BlockStarted) and self._open is None:
            self._open = event.index
            return [event]
        if event.index != self._open:
            if isinstance(event, BlockStarted) or event.index in self._waiting:
                self._waiting.setdefault(event.index, []).append(event)
            return []
        if isinstance(event, BlockStopped):
            return [event, *self._next()]
        return [event]

    def _next(self) -> list[Event]:
        """What waited for a block's end: all of the blocks that are whole, and the first one that is not."""
        events: list[Event] = []
        self._open = None
        while self._waiting and self._open is None:
            index = next(iter(self._waiting))
            waited = self._waiting.pop(index)
            events += waited
            if not isinstance(waited[-1], BlockStopped):
                self._open = index
        return events

    def _flush(self) -> list[Event]:
        events: list[Event] = []
        while self._open is not None:
            events += [BlockStopped(index=self._open), *self._next()]
        return events
