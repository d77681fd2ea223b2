"""Reading a W3C trace context: what is taken, and what counts as not sent."""

import pytest

from kit.trace_context import MAX_STATE_CHARS, TraceContext, trace_in, trace_in_headers

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def state(*values: str, parent: str = PARENT) -> str | None:
    """The ``tracestate`` that is passed on."""
    headers = [
        (b"traceparent", parent.encode()),
        *((b"tracestate", value.encode("latin-1")) for value in values),
    ]
    found = trace_in_headers(headers)
    return None if found is None else found.state


def test_a_trace_goes_on_in_spans_of_ours() -> None:
    found = trace_in({"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"})
    assert found == TraceContext(TRACE, SPAN, "01", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found.of_span("b" * 16) == {
        "traceparent": f"00-{TRACE}-{'b' * 16}-01",
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    }
    assert trace_in(found.headers) == found
    assert trace_in({"traceparent": PARENT}) == TraceContext(TRACE, SPAN, "01")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-more",
        PARENT + "0",
        PARENT + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"01-{TRACE}-{SPAN}-01more",
    ],
)
def test_a_malformed_parent_is_none_and_its_state_goes_with_it(parent: str) -> None:
    assert trace_in({"traceparent": parent, "tracestate": "a=1"}) is None
    assert trace_in_headers([(b"traceparent", parent.encode()), (b"tracestate", b"a=1")]) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = trace_in({"traceparent": f"01-{TRACE}-{SPAN}-ff-what-is-new"})
    assert found is not None and found.headers == {"traceparent": f"00-{TRACE}-{SPAN}-03"}


def test_two_parents_are_none_and_no_text_is_none() -> None:
    assert trace_in_headers([(b"traceparent", PARENT.encode())] * 2) is None
    assert trace_in_headers([(b"tracestate", b"a=1")]) is None
    for other in (None, {}, {"traceparent": 7}, {"traceparent": [PARENT]}):
        assert trace_in(other) is None
    assert trace_in({"traceparent": PARENT, "tracestate": 7}) == TraceContext(TRACE, SPAN, "01")


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        (("a=1", "b=2"), "a=1,b=2"),
        ((" a=1 ,\tb=2,, ",), "a=1,b=2"),
        (("fw529a3039@dt=FfAAAA,1a/b*c-d_e=x y",), "fw529a3039@dt=FfAAAA,1a/b*c-d_e=x y"),
        ((",".join(f"k{n}=v" for n in range(32)),), ",".join(f"k{n}=v" for n in range(32))),
        ((",".join(f"k{n}=v" for n in range(33)),), None),
        (("a=1,a=2",), None),
        (("A=1",), None),
        (("a",), None),
        (("a=",), None),
        (("a=b=c",), None),
        (("a=\x07",), None),
        (("a=\xe9",), None),
        ((f"{'k' * 257}=1",), None),
        ((f"a={'v' * 257}",), None),
        (("",), None),
    ],
)
def test_a_state_is_passed_on_if_it_is_well_formed(values: tuple[str, ...], passed: str | None) -> None:
    assert state(*values) == passed


def test_a_long_state_loses_its_long_members_and_then_its_last_ones() -> None:
    long, short = f"long={'v' * 200}", [f"k{n}={'v' * 90}" for n in range(8)]
    passed = state(",".join([long, *short]))
    assert passed is not None and passed == ",".join(short[:5]) and len(passed) <= MAX_STATE_CHARS
    assert state(long) == long
