"""``/healthz``, ``/readyz`` and ``/metrics``."""

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlmodel import select

from kit.db import Database
from kit.errors import AuthenticationFailed, NotFound


def ops_routes(db: Database, metrics: CollectorRegistry, *, metrics_token: str | None) -> APIRouter:
    """``metrics_token`` is the bearer token for ``/metrics``; without one there is no such route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """The process can serve: its database answers."""
        async with db.session() as session:
            await session.exec(select(1))
        return {"status": "ok"}

    @router.get("/metrics")
    async def show_metrics(request: Request) -> Response:
        """Prometheus text format. Raises NotFound, AuthenticationFailed."""
        if metrics_token is None:
            raise NotFound("there is no route /metrics: set HEDDLE_METRICS_TOKEN", code="no_such_route")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), metrics_token.encode()):
            raise AuthenticationFailed("/metrics needs the token of HEDDLE_METRICS_TOKEN as bearer token")
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return router
