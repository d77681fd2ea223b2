"""Stripe's edge as the SDK sees it: forms in, JSON out, idempotency keys kept. Served on loopback."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served

KEY = "sk_test_stub"
NO_DEFAULT = {"default_payment_method": None}


@dataclass
class StripeStub:
    """What was asked of it (``calls``: path and form), and how it is to answer."""

    url: str = ""
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answers: dict[str, Response] = field(default_factory=dict)
    """By idempotency key: a repeated call is answered as the first one was."""
    saved_cards: list[str] = field(default_factory=list)
    intent_status: str = "succeeded"
    decline: dict[str, str] | None = None
    """The ``error`` of a refused card, in place of a payment."""
    fail_with: int | None = None
    """An HTTP status to fail all calls with."""
    lose_answers: int = 0
    """So many times a payment is made, or made already, and its answer lost (a 500 instead)."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def asked(self, path: str) -> list[dict[str, str]]:
        return [form for at, form in self.calls if at == path]

    async def handle(self, request: Request) -> Response:
        path, form = request.url.path, dict(parse_qsl((await request.body()).decode()))
        self.calls.append((path, form))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, type="invalid_request_error", message="Invalid API Key provided")
        if self.fail_with is not None:
            return _error(self.fail_with, type="api_error", message="the stub was told to fail")
        key = request.headers.get("idempotency-key")
        answer = self.answers.get(key or "") or self._answer(request.method, path, form)
        if request.method == "POST" and key is not None:
            self.answers[key] = answer
        if path == "/v1/payment_intents" and self.lose_answers:
            self.lose_answers -= 1
            return _error(500, type="api_error", message="lost")
        return answer

    def _answer(self, method: str, path: str, form: dict[str, str]) -> Response:
        number = next(self._numbers)
        if path.endswith("/payment_methods"):
            cards = [{"id": card, "object": "payment_method"} for card in self.saved_cards]
            return JSONResponse({"object": "list", "data": cards, "has_more": False})
        if path.startswith("/v1/customers"):
            name = path.rsplit("/", 1)[1] if method == "GET" else f"cus_{number}"
            return JSONResponse({"id": name, "object": "customer", "invoice_settings": NO_DEFAULT})
        if path == "/v1/checkout/sessions":
            page = {"url": f"https://checkout.stripe.test/{number}", "expires_at": 1_800_086_400}
            return JSONResponse({"id": f"cs_{number}", "object": "checkout.session", **page})
        if path == "/v1/billing_portal/sessions":
            page = {"id": f"bps_{number}", "url": f"https://billing.stripe.test/{number}"}
            return JSONResponse({"object": "billing_portal.session", **page})
        if path == "/v1/payment_intents":
            return self._charge(number, form)
        return _error(404, type="invalid_request_error", message=f"Unrecognized request URL {path}")

    def _charge(self, number: int, form: dict[str, str]) -> Response:
        if self.decline is not None:
            return _error(402, type="card_error", message="Your card was declined.", **self.decline)
        received = int(form["amount"]) if self.intent_status == "succeeded" else 0
        intent = {"status": self.intent_status, "amount_received": received, "currency": form["currency"]}
        return JSONResponse({"id": f"pi_auto_{number}", "object": "payment_intent", **intent})


def _error(status: int, **error: str) -> Response:
    return Response(json.dumps({"error": error}), status, media_type="application/json")


@asynccontextmanager
async def stripe_stub() -> AsyncIterator[StripeStub]:
    stub = StripeStub()
    app = Starlette(routes=[Route("/{path:path}", stub.handle, methods=["GET", "POST"])])
    async with served(lambda _url: app, lifespan=False) as url:
        stub.url = url
        yield stub


def form_value(form: dict[str, str], *path: str) -> str | None:
    """``form_value(form, "metadata", "x")`` reads ``metadata[x]``."""
    return form.get(path[0] + "".join(f"[{part}]" for part in path[1:]))
