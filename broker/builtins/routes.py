"""The catalogue of built-in tools over HTTP."""

from typing import Any

from fastapi import APIRouter

from broker.builtins.builtin import Builtin
from broker.builtins.catalog import BUILTINS


def builtin_routes() -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["tools"])

    @router.get("/builtins")
    async def list_builtins() -> dict[str, Any]:
        """Public: what there is, and what each needs to know."""
        data = [render_builtin(builtin) for builtin in BUILTINS]
        return {"object": "list", "data": data, "has_more": False, "next_cursor": None}

    return router


def render_builtin(builtin: Builtin) -> dict[str, Any]:
    return {
        "provider": builtin.provider,
        "display_name": builtin.display_name,
        "description": builtin.description,
        "provider_brand": builtin.brand,
        "auth_modes": list(builtin.auth_modes),
        "connector": builtin.connector,
        "input_schema": builtin.input_schema,
        "config_schema": builtin.config_schema,
    }
