"""The body of ``POST /v1/jobs``, validated; and how a job's request is kept."""

from collections.abc import Collection
from typing import Any

import msgspec

from kit.errors import InvalidRequest, Unsupported
from kit.request_body import check_storable

MAX_METADATA_BYTES = 16 * 1024
DEFAULT_MAX_ATTEMPTS = 3
MAX_ATTEMPTS = 10
_STATEFUL = ("background", "conversation", "previous_response_id", "store")


class JobRequest(msgspec.Struct, frozen=True):
    """What is run: the headers that the route heeds, and the body."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


class AskedJob(msgspec.Struct, frozen=True):
    endpoint: str
    model: str | None
    body: bytes
    meta: dict[str, Any]
    max_attempts: int


encode_job_request = msgspec.msgpack.Encoder().encode
decode_job_request = msgspec.msgpack.Decoder(JobRequest).decode


def parse_job(given: Any, endpoints: Collection[str]) -> AskedJob:
    """Raises InvalidRequest, Unsupported."""
    if not isinstance(given, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    check_storable(given)
    endpoint = given.get("endpoint")
    if not isinstance(endpoint, str) or endpoint not in endpoints:
        raise InvalidRequest(f"endpoint: expected one of {', '.join(sorted(endpoints))}", param="endpoint")
    body = given.get("body")
    if not isinstance(body, dict):
        raise InvalidRequest("body: expected an object, the body of the request to run", param="body")
    if body.get("stream") or body.get("stream_format") == "sse":
        raise InvalidRequest("body.stream: a job has nobody to stream to; leave it out", param="body")
    for name in _STATEFUL:
        if body.get(name):
            raise Unsupported(
                f"body.{name}: a job's answer belongs to no conversation; post it to {endpoint} itself",
                param="body",
            )
    model = body.get("model")
    return AskedJob(
        endpoint=endpoint,
        model=model if isinstance(model, str) else None,
        body=msgspec.json.encode(body),
        meta=_metadata(given.get("metadata")),
        max_attempts=_attempts(given.get("max_attempts")),
    )


def _metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(msgspec.json.encode(value)) > MAX_METADATA_BYTES:
        raise InvalidRequest(
            f"metadata: expected an object of at most {MAX_METADATA_BYTES} bytes", param="metadata"
        )
    return value


def _attempts(value: Any) -> int:
    if value is None:
        return DEFAULT_MAX_ATTEMPTS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ATTEMPTS:
        raise InvalidRequest(
            f"max_attempts: expected an integer from 1 to {MAX_ATTEMPTS}", param="max_attempts"
        )
    return value
