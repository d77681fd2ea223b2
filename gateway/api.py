"""The routes that are no hot path, as one FastAPI application."""

from collections.abc import Iterator, Sequence

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from gateway.errors import render_errors


def api_of(routers: Sequence[APIRouter]) -> FastAPI:
    """The application of these routes; errors have the form of their path."""
    api = FastAPI(title="Heddle", version="0.1.0", docs_url=None, redoc_url=None)
    for router in routers:
        api.include_router(router)
    render_errors(api)
    return api


def post_paths(routers: Sequence[APIRouter]) -> Iterator[str]:
    """The paths that take a POST, as they are declared."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, Route) and "POST" in (route.methods or ()):
                yield route.path
