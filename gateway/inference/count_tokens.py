"""``POST /v1/messages/count_tokens``: how many input tokens a request has, for nothing.

The provider counts where it speaks Anthropic's dialect and has the route. Otherwise the answer is an
estimate, and a header says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.inference.answering import forwarded, respond
from gateway.inference.dialects.fields import MAX_TOKENS_LIMIT, Count
from gateway.inference.dialects.registry import ANTHROPIC
from gateway.inference.inference import Inference
from gateway.inference.plan import Candidate, parse_object
from gateway.inference.route import caller_of, read_body
from gateway.inference.upstream import ProviderRefused, StreamBroke, Upstream
from kit.errors import UpstreamFailed
from kit.json import NOT_JSON

COUNT_TOKENS_PATH = "/v1/messages/count_tokens"
TIMEOUT_S = 10.0
"""How long to wait for the provider's count; an estimate then is worth more."""
_NO_SUCH_ROUTE = {404, 405}
_OF_THE_KEY = {"upstream_credentials", "upstream_rate_limit"}
"""Failures after which another key may do."""
_JSON = (b"content-type", b"application/json")
_ESTIMATED = (b"x-heddle-estimated", b"true")

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Counted(msgspec.Struct):
    input_tokens: Count


_decode_count = msgspec.json.Decoder(_Counted).decode


class CountTokensRoute:
    """Checks a request as ``/v1/messages`` does, but for ``max_tokens``, which none needs here."""

    def __init__(self, inference: Inference, upstream: Upstream, *, max_request_bytes: int) -> None:
        self._inference = inference
        self._upstream = upstream
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        raw = await read_body(receive, self._max_request_bytes)
        plan = await self._inference.plan(
            ANTHROPIC, _as_call(raw), caller.account_id, allowed_models=caller.models
        )
        try:
            counted = await self._ask(plan.candidates, forwarded(scope))
        except ProviderRefused as refusal:
            if not refusal.body:
                raise
            await respond(send, refusal.status, refusal.body, [_JSON])
            return
        if counted is not None:
            await respond(send, 200, counted, [_JSON])
            return
        estimate = msgspec.json.encode({"input_tokens": plan.input_guess})
        await respond(send, 200, estimate, [_JSON, _ESTIMATED])

    async def _ask(self, candidates: Sequence[Candidate], client_headers: Mapping[str, str]) -> bytes | None:
        """The answer of the first provider that can count, with whichever of its keys; None if none can.
        Raises what the client hears if a provider found fault with the request."""
        for candidate in candidates:
            if candidate.passage.provider_dialect != ANTHROPIC.name:
                continue
            for key in candidate.model.provider.api_keys or (None,):
                try:
                    return await self._count(candidate, key, client_headers)
                except UpstreamFailed as failure:
                    if failure.code not in _OF_THE_KEY:
                        break
        return None

    async def _count(self, candidate: Candidate, key: str | None, client_headers: Mapping[str, str]) -> bytes:
        """The provider's answer. Raises UpstreamFailed if it cannot count, or fails to; and what the client
        hears if it found fault with the request."""
        passage, provider = candidate.passage, candidate.model.provider
        url = provider.base_urls[ANTHROPIC.name] + COUNT_TOKENS_PATH
        waits = replace(provider.limits, first_byte_timeout_s=TIMEOUT_S, idle_timeout_s=TIMEOUT_S)
        outgoing = passage.outgoing(None)
        assert isinstance(outgoing, bytes), "the body of a dialect is JSON"
        body = _without_limit(outgoing)
        try:
            response = await self._upstream.post(
                provider.name, url, passage.headers(key, client_headers), body, waits
            )
        except ProviderRefused as refused:
            if refused.status in _NO_SUCH_ROUTE:
                raise UpstreamFailed(f"{provider.name} does not count") from None
            raise passage.refusal(refused) from None
        try:
            answer = await response.read()
            _decode_count(answer)
        except (StreamBroke, *NOT_JSON):
            raise UpstreamFailed(f"{provider.name} did not answer with a count") from None
        finally:
            response.close()
        return answer


def _as_call(raw: bytes) -> bytes:
    """The request as a call that can be planned. Raises InvalidRequest."""
    parse_object(raw)
    return msgspec.json.encode({**_decode_fields(raw), "max_tokens": MAX_TOKENS_LIMIT, "stream": False})


def _without_limit(body: bytes) -> bytes:
    """The request as the provider's counting takes it: it refuses fields of calls alone."""
    fields = _decode_fields(body)
    return msgspec.json.encode({n: value for n, value in fields.items() if n not in {"max_tokens", "stream"}})
