"""The inference routes: what a model call goes through, without the control plane's framework."""

from starlette.types import ASGIApp

from gateway.inference.count_tokens import COUNT_TOKENS_PATH, CountTokensRoute
from gateway.inference.dialects.registry import CLIENT_PATHS, OPENAI_RESPONSES
from gateway.inference.inference import Inference
from gateway.inference.media.routes import media_routes
from gateway.inference.route import InferenceRoute
from gateway.inference.upstream import Upstream
from gateway.responses.route import ResponsesRoute
from gateway.responses.stored import StoredResponses
from gateway.settings import Settings


def inference_routes(inference: Inference, upstream: Upstream, settings: Settings) -> dict[str, ASGIApp]:
    """By path; those of the control plane are elsewhere."""
    limit = settings.max_request_bytes
    return {
        **{
            path: InferenceRoute(inference, dialect, max_request_bytes=limit)
            for path, dialect in CLIENT_PATHS.items()
        },
        **media_routes(inference, max_request_bytes=limit, max_upload_bytes=settings.max_upload_bytes),
        COUNT_TOKENS_PATH: CountTokensRoute(inference, upstream, max_request_bytes=limit),
    }


def responses_route(responses: StoredResponses, inference: Inference, settings: Settings) -> ASGIApp:
    """``POST /v1/responses``: stored ones, and those that only pass."""
    limit = settings.max_request_bytes
    passing = InferenceRoute(inference, OPENAI_RESPONSES, max_request_bytes=limit)
    return ResponsesRoute(responses, passing, max_request_bytes=limit, by_default=settings.store_responses)
