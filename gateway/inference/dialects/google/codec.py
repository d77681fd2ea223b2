"""The dialect in both directions."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.requests import decode_request, encode_request
from gateway.inference.dialects.google.responses import decode_response, encode_response
from gateway.inference.dialects.google.stream_encoder import GoogleStreamEncoder
from gateway.inference.dialects.google.streams import GoogleStreamDecoder
from gateway.inference.dialects.neutral import Request, Response


class GoogleCodec:
    """See ``codec.Codec``."""

    name = NAME

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        return decode_request(body)

    def encode_request(self, request: Request, target: Target) -> Encoded:
        return encode_request(request, target)

    def decode_response(self, body: Mapping[str, Any], origin: str) -> Response:
        return decode_response(body, origin)

    def encode_response(self, response: Response, request: Request) -> dict[str, Any]:  # noqa: ARG002
        return encode_response(response)

    def stream_decoder(self, origin: str) -> GoogleStreamDecoder:
        return GoogleStreamDecoder(origin)

    def stream_encoder(self, request: Request) -> GoogleStreamEncoder:  # noqa: ARG002
        return GoogleStreamEncoder()
