"""Whatever stands in whichever place of a request or an answer, only the promised errors come out."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.neutral import Response
from kit.errors import InvalidRequest, Unsupported
from tests.gateway.inference.dialects.openai_responses.exchange import CODEC, NAME, TARGET, request, user
from tests.gateway.inference.dialects.openai_responses.test_responses import WHOLE as ANSWERS
from tests.gateway.inference.dialects.openai_responses.test_whole_requests import WHOLE as REQUESTS

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 10**30, 1.5, "", "x", [], [None], [[]], ["x"], {}, {"type": "x"}, {"id": 5}]
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for name, item in inner for found in _places(item, (*place, name)))]


def _replaced(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    if not place:
        return odd
    name, *rest = place
    if isinstance(value, dict):
        return {**value, name: _replaced(value[name], tuple(rest), odd)}
    return [_replaced(item, tuple(rest), odd) if at == name else item for at, item in enumerate(value)]


@st.composite
def with_odd_values(draw: st.DrawFn, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    body: Any = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(body) if place]
        body = _replaced(body, draw(st.sampled_from(places)), draw(ODD)) if places else body
    return dict(body)


@settings(max_examples=400, deadline=None)
@given(with_odd_values(REQUESTS))
def test_a_request_is_read_or_refused_by_name(body: dict[str, Any]) -> None:
    try:
        read = CODEC.decode_request(body)
    except InvalidRequest as refused:
        assert refused.param
        assert refused.message.startswith(f"{refused.param}: expected ")
        return
    written = CODEC.encode_request(read, TARGET)
    assert CODEC.encode_request(CODEC.decode_request(written.body), TARGET).body == written.body
    answer = CODEC.encode_response(Response(id="r", model="m", choices=[]), read)
    assert answer["object"] == "response"


@settings(max_examples=400, deadline=None)
@given(with_odd_values(REQUESTS))
def test_a_request_for_a_poorer_provider_is_written_or_refused(body: dict[str, Any]) -> None:
    try:
        read = CODEC.decode_request(body)
        read.extra = None
        CODEC.encode_request(read, TARGET)
    except (InvalidRequest, Unsupported) as refused:
        assert refused.param


@settings(max_examples=400, deadline=None)
@given(with_odd_values(ANSWERS))
def test_an_answer_is_read_or_no_answer(body: dict[str, Any]) -> None:
    try:
        read = CODEC.decode_response(body, NAME)
    except ValueError:
        return
    CODEC.encode_response(read, CODEC.decode_request(request(user())))
