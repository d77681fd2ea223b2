"""The demo's webhook tool, as a developer would write it: verify the signatures, do the work, answer."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kit.clock import Clock, SystemClock

TOLERANCE_S = 300
"""How old, or how far ahead, a signature may be (Standard Webhooks: five minutes)."""
MAX_REMEMBERED = 1_000
WEATHER = {"oslo": (4, "snow"), "cairo": (29, "sun"), "lima": (18, "fog")}
SIGNED_HEADERS = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-qlaud-timestamp",
    "x-qlaud-signature",
)


class NotGenuine(Exception):
    """The request is not a fresh one by the holder of the secret; the message says what is wrong."""


@dataclass
class WeatherHook:
    """The endpoint of ``get_weather``. It trusts only what is signed with ``secret``.

    ``seen`` lists the calls it believed, each once: a dispatch that comes again under the same
    ``webhook-id`` gets the same answer, and the work is not done twice.
    """

    secret: str = field(default="", repr=False)
    clock: Clock = field(default_factory=SystemClock)
    seen: list[dict[str, Any]] = field(default_factory=list)
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    async def answer(self, request: Request) -> Response:
        """``{output, is_error?}`` for a genuine dispatch, 401 for anything else."""
        body = await request.body()
        try:
            verify(request.headers, body, self.secret, now_s=self.clock.now_ms() // 1000)
        except NotGenuine as fault:
            return JSONResponse({"error": str(fault)}, status_code=401)
        webhook_id = request.headers["webhook-id"]
        if webhook_id not in self._answers:
            call = msgspec.json.decode(body, type=dict[str, Any])
            self._remember(webhook_id, call, get_weather(call.get("input")))
        return JSONResponse(self._answers[webhook_id])

    def _remember(self, webhook_id: str, call: dict[str, Any], answer: dict[str, Any]) -> None:
        if len(self._answers) >= MAX_REMEMBERED:
            self._answers.pop(next(iter(self._answers)))
            del self.seen[0]
        self._answers[webhook_id] = answer
        self.seen.append(call)


def verify(headers: Mapping[str, str], body: bytes, secret: str, *, now_s: int) -> None:
    """Check a dispatch: both signatures and both timestamps. Raises NotGenuine.

    ``webhook-signature`` is that of Standard Webhooks (its specification, "Signature scheme"): the base64
    HMAC-SHA256 of ``id.timestamp.body`` with the decoded secret, as one of several ``v1,…`` separated by
    spaces. ``x-qlaud-signature`` is the hex HMAC-SHA256 of ``timestamp.body`` with the secret's text.
    """
    missing = [name for name in SIGNED_HEADERS if not headers.get(name)]
    if missing:
        raise NotGenuine(f"headers are missing: {', '.join(missing)}")
    for name in ("webhook-timestamp", "x-qlaud-timestamp"):
        stamp = headers[name]
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 15):
            raise NotGenuine(f"{name} is not a Unix time in seconds")
        if abs(now_s - int(stamp)) > TOLERANCE_S:
            raise NotGenuine(f"{name} is more than {TOLERANCE_S} seconds away")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise NotGenuine("this endpoint's own secret is not in the whsec_… form") from None
    if not key:
        raise NotGenuine("this endpoint has no secret yet")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    standard = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    if not any(hmac.compare_digest(standard, one) for one in headers["webhook-signature"].encode().split()):
        raise NotGenuine("webhook-signature does not match")
    dated = f"{headers['x-qlaud-timestamp']}.".encode() + body
    plain = hmac.new(secret.encode(), dated, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(plain.encode(), headers["x-qlaud-signature"].encode()):
        raise NotGenuine("x-qlaud-signature does not match")


def get_weather(arguments: Any) -> dict[str, Any]:
    """The tool's answer: made up, but always the same for a city."""
    city = arguments.get("city") if isinstance(arguments, dict) else None
    if not isinstance(city, str) or not city.strip():
        return {"output": {"error": "city: expected the name of a city"}, "is_error": True}
    celsius, sky = WEATHER.get(city.strip().lower(), (12, "clouds"))
    return {"output": {"city": city.strip(), "celsius": celsius, "sky": sky}}


def build_weather_hook(hook: WeatherHook) -> Starlette:
    """The endpoint, at ``POST /weather``."""
    return Starlette(routes=[Route("/weather", hook.answer, methods=["POST"])])
