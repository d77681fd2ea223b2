"""``/v1/models``: what can be called here, in OpenAI's list shape or Anthropic's."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request

from gateway.billing.prices import TOKEN_UNITS
from gateway.inference.inference import Inference
from gateway.inference.models import Model
from kit.caller import Standard

_PER_MILLION = Decimal(1_000_000)
_LISTED_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def model_routes(inference: Inference) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def list_models(request: Request, caller: Standard) -> dict[str, Any]:
        catalog, markup = await inference.models_of(caller.account_id)
        models = [model for model in catalog.all() if _may_use(caller.models, model)]
        if "anthropic-version" in request.headers:
            data = [_anthropic_form(model) for model in models]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            return {"data": data, "has_more": False, **ends}
        rendered = [_openai_form(model, markup) for model in models]
        return {"object": "list", "data": rendered, "has_more": False, "next_cursor": None}

    @router.get("/{model_id:path}")
    async def get_model(model_id: str, request: Request, caller: Standard) -> dict[str, Any]:
        catalog, markup = await inference.models_of(caller.account_id)
        model = catalog.resolve(model_id)
        if "anthropic-version" in request.headers:
            return _anthropic_form(model)
        return _openai_form(model, markup)

    return router


def _may_use(allowed: tuple[str, ...] | None, model: Model) -> bool:
    return allowed is None or model.slug in allowed


def _openai_form(model: Model, markup: Decimal) -> dict[str, Any]:
    prices: dict[str, str] = {}
    for unit, price in model.price.units.items():
        of_tokens = unit in TOKEN_UNITS
        name = f"{unit}_per_mtok_usd" if of_tokens else f"{unit}_usd"
        prices[name] = f"{price.at(0) * (_PER_MILLION if of_tokens else 1) * (1 + markup):f}"
    return {
        "id": model.slug,
        "object": "model",
        "created": int(_LISTED_SINCE.timestamp()),
        "owned_by": model.provider.name,
        "provider": model.provider.name,
        "display_name": model.display_name,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "pricing": prices,
        "dialects": list(model.provider.base_urls),
    }


def _anthropic_form(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.slug,
        "display_name": model.display_name,
        "created_at": _LISTED_SINCE.isoformat().replace("+00:00", "Z"),
    }
