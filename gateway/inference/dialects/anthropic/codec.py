"""The Anthropic Messages dialect in both directions."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.anthropic import requests, responses
from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.anthropic.stream_decoder import AnthropicStreamDecoder
from gateway.inference.dialects.anthropic.stream_encoder import AnthropicStreamEncoder
from gateway.inference.dialects.codec import Encoded, StreamDecoder, StreamEncoder, Target
from gateway.inference.dialects.neutral import Request, Response


class AnthropicCodec:
    name = DIALECT

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        return requests.decode_request(body)

    def encode_request(self, request: Request, target: Target) -> Encoded:
        return requests.encode_request(request, target)

    def decode_response(self, body: Mapping[str, Any], origin: str) -> Response:
        return responses.decode_response(body, origin)

    def encode_response(self, response: Response, request: Request) -> dict[str, Any]:  # noqa: ARG002
        return responses.encode_response(response)

    def stream_decoder(self, origin: str) -> StreamDecoder:
        return AnthropicStreamDecoder(origin)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return AnthropicStreamEncoder(request)
