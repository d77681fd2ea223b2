"""The demo's own endpoint: what a developer runs behind a webhook tool. It trusts only what is signed."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOLERANCE_S = 300
WEATHER = {"oslo": (4, "snow"), "cairo": (29, "sun"), "lima": (18, "fog")}


@dataclass
class WeatherHook:
    """A webhook endpoint that verifies both signatures. ``seen`` lists the requests it believed."""

    secret: str = field(default="", repr=False)
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if not self._is_genuine(request, body):
            return JSONResponse({"error": "bad signature"}, status_code=401)
        call = await request.json()
        self.seen.append(call)
        city = str(call["input"].get("city", ""))
        degrees, sky = WEATHER.get(city.lower(), (12, "clouds"))
        return JSONResponse({"output": {"city": city, "celsius": degrees, "sky": sky}})

    def _is_genuine(self, request: Request, body: bytes) -> bool:
        headers = request.headers
        try:
            stamp = headers["webhook-timestamp"]
            fresh = abs(time.time() - int(stamp)) <= TOLERANCE_S
            signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
            given, plain = headers["webhook-signature"], headers["x-qlaud-signature"]
            plain_stamp = headers["x-qlaud-timestamp"]
        except (KeyError, ValueError):
            return False
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        standard = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        ours = hmac.new(self.secret.encode(), f"{plain_stamp}.".encode() + body, hashlib.sha256)
        return (
            fresh
            and any(hmac.compare_digest(standard, each) for each in given.split())
            and hmac.compare_digest(ours.hexdigest(), plain)
        )


def build_weather_hook(hook: WeatherHook) -> Starlette:
    return Starlette(routes=[Route("/weather", hook.answer, methods=["POST"])])
