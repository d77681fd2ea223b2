"""OpenAI Responses as a ``codec.Codec``."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.neutral import Request, Response
from gateway.inference.dialects.openai_responses.reading import NAME
from gateway.inference.dialects.openai_responses.requests import decode_request, encode_request
from gateway.inference.dialects.openai_responses.responses import decode_response, encode_response
from gateway.inference.dialects.openai_responses.stream_decoder import ResponsesStreamDecoder
from gateway.inference.dialects.openai_responses.stream_encoder import ResponsesStreamEncoder


class OpenAIResponsesCodec:
    name = NAME

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        return decode_request(body)

    def encode_request(self, request: Request, target: Target) -> Encoded:
        return encode_request(request, target)

    def decode_response(self, body: Mapping[str, Any], origin: str) -> Response:
        return decode_response(body, origin)

    def encode_response(self, response: Response, request: Request) -> dict[str, Any]:
        return encode_response(response, request)

    def stream_decoder(self, origin: str) -> ResponsesStreamDecoder:
        return ResponsesStreamDecoder(origin)

    def stream_encoder(self, request: Request) -> ResponsesStreamEncoder:
        return ResponsesStreamEncoder(request)
