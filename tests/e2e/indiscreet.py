"""A vendor and a developer's site that repeat to us all they were told, in whatever they answer."""

import base64
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

SECRET_FIELDS = {"code", "code_verifier", "refresh_token", "client_secret", "token", "device_code"}
FILE = """
slug = "{slug}"
display_name = "Indiscreet"
category = "other"
kind = "api"
auth = "oauth2"
api_url = "{url}/api"
docs_url = "https://example.com"
source = "the test"
[oauth2]
authorize_url = "{url}/authorize"
token_url = "{url}/token"
device_url = "{url}/device"
revocation_url = "{url}/revoke"
token_auth = "{token_auth}"
"""


def new_secret(kind: str) -> str:
    return f"canary-{kind}-{secrets.token_hex(12)}"


@dataclass
class Indiscreet:
    """``told``: the secrets that it was sent or gave out; ``deliveries``: what its webhook was sent."""

    url: str = ""
    told: set[str] = field(default_factory=set)
    deliveries: list[bytes] = field(default_factory=list)
    polls: int = 0

    def build(self, url: str) -> Starlette:
        self.url = url
        routes = [
            Route("/authorize", self.authorize),
            Route("/device", self.device, methods=["POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/revoke", self.refuse, methods=["POST"]),
            Route("/hook", self.hook, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def authorize(self, request: Request) -> Response:
        query = {"state": request.query_params["state"], "code": self._given("code")}
        self.told |= {query["state"], request.query_params["code_challenge"]}
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(query)}")

    async def device(self, request: Request) -> Response:
        await self._heard(request)
        given = {name: self._given(name) for name in ("device_code", "user_code")}
        where = {"verification_uri": f"{self.url}/enter", "expires_in": 600, "interval": 1}
        return JSONResponse({**given, **where})

    async def token(self, request: Request) -> Response:
        """The device flow succeeds in the second try; codes and refresh tokens are refused."""
        form = await self._heard(request)
        if "device_code" not in form:
            return await self.refuse(request)
        self.polls += 1
        if self.polls == 1:
            words = {"error_description": f"not yet: {form}"}
            return JSONResponse({"error": "authorization_pending", **words}, 400)
        tokens = {name: self._given(name) for name in ("access_token", "refresh_token")}
        return JSONResponse({**tokens, "token_type": "bearer", "expires_in": 3_600})

    async def refuse(self, request: Request) -> Response:
        form = await self._heard(request)
        words = f"refused: {form} {request.headers.get('authorization')}"
        return JSONResponse({"error": "invalid_request", "error_description": words}, 400)

    async def hook(self, request: Request) -> Response:
        body = await request.body()
        self.deliveries += [body, *(value for _name, value in request.headers.raw)]
        return JSONResponse({"output": "done"})

    def _given(self, kind: str) -> str:
        secret = new_secret(kind)
        self.told.add(secret)
        return secret

    async def _heard(self, request: Request) -> dict[str, str]:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.told |= {value for name, value in form.items() if name in SECRET_FIELDS}
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        if basic:
            pair = base64.b64decode(basic).decode()
            self.told |= {basic, unquote_plus(pair.partition(":")[2])}
        return form
