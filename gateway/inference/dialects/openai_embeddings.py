"""OpenAI's Embeddings API (platform.openai.com, API reference: Embeddings), as many providers speak it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import RequestFacts, StreamTap
from gateway.inference.dialects.fields import Count, text_field
from gateway.inference.dialects.openai_chat.wire import OpenAIChatDialect
from kit.errors import InvalidRequest

MAX_INPUTS = 2_048


class _Usage(msgspec.Struct):
    prompt_tokens: Count


class OpenAIEmbeddings:
    """Passes through to providers of the OpenAI Chat dialect, which have this route beside that one."""

    name = OpenAIChatDialect.name
    counts_tools = True

    def server_tools(self, body: Mapping[str, Any]) -> Counts:  # noqa: ARG002 - the dialects share a shape
        return ()

    def path_of(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the same for all
        return "/embeddings"

    def facts(self, body: Mapping[str, Any]) -> RequestFacts:
        asked = body.get("input")
        if not isinstance(asked, str | list) or not asked:
            raise InvalidRequest("input: expected a text, or a list of texts or tokens", param="input")
        if isinstance(asked, list) and isinstance(asked[0], str | list) and len(asked) > MAX_INPUTS:
            raise InvalidRequest(f"input: expected at most {MAX_INPUTS} texts", param="input")
        return RequestFacts(text_field(body, "model"), stream=False, max_tokens=None, generates=False)

    def patch(
        self,
        body: Mapping[str, Any],  # noqa: ARG002 - the dialects share a shape
        facts: RequestFacts,
        *,
        model: str,
        max_tokens: int | None,  # noqa: ARG002
        quirks: Quirks,  # noqa: ARG002
    ) -> dict[str, Any]:
        return {"model": model} if facts.model != model else {}

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:
        return OpenAIChatDialect().request_headers(api_key, client_headers)

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        try:
            return TokenUsage(input_tokens=msgspec.convert(body.get("usage"), _Usage).prompt_tokens)
        except msgspec.ValidationError:
            return None

    def tap(self, facts: RequestFacts) -> StreamTap:  # noqa: ARG002
        raise AssertionError("embeddings are never streamed")
