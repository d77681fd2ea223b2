"""Large events, cut anywhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.dialects.frames import FrameOverflow
from gateway.inference.media import streams
from gateway.inference.media.streams import EventPayloads

RAW = (
    b': note\n\nevent: a\ndata: {"n": 1}\n\ndata: two\ndata: lines\n\ndata: {"crlf": 1}\r\n\r\ndata: last\n\n'
)
PAYLOADS = [b'{"n": 1}', b"two\nlines", b'{"crlf": 1}', b"last"]


@given(st.lists(st.integers(0, len(RAW)), max_size=12))
def test_events_do_not_depend_on_where_the_bytes_are_cut(cuts: list[int]) -> None:
    events, at, got = EventPayloads(), 0, []
    for cut in [*sorted(cuts), len(RAW)]:
        got += [payload.strip() for payload in events.feed(RAW[at:cut])]
        at = cut
    assert got == PAYLOADS


def test_an_event_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_BODY_BYTES", 1_000)
    events: Any = EventPayloads()
    with pytest.raises(FrameOverflow):
        for _ in range(20):
            events.feed(b"data: " + b"x" * 100)
