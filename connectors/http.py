"""HTTP to authorization servers and protected resources: guarded addresses, bounded answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from kit.errors import InvalidRequest, UpstreamFailed
from kit.json import NOT_JSON
from kit.outbound import OutboundPolicy, guarded_client

MAX_BYTES = 256 * 1024
TIMEOUT_S = 10.0
"""To connect, and of silence."""
TOTAL_TIMEOUT_S = 20.0
"""Of a request with its answer, however it trickles."""


@dataclass(frozen=True)
class Answer:
    """A bounded HTTP answer. ``json`` is None unless the body is a JSON object."""

    status: int
    headers: httpx.Headers
    json: dict[str, Any] | None


class OAuthHttp:
    """The one client for OAuth traffic. Every URL is somebody else's word, so every URL is checked."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._client = guarded_client(policy, timeout_s=TIMEOUT_S)
        self._client.headers["accept-encoding"] = "identity"

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Raises UpstreamFailed if there is no usable HTTP answer."""
        return await self._send("GET", url, headers={"accept": "application/json", **(headers or {})})

    async def post_form(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        auth: tuple[str, str] | None = None,
        as_json: bool = False,
    ) -> Answer:
        """``as_json``: some vendors want the fields so."""
        body: dict[str, Any] = {"json": dict(form)} if as_json else {"data": dict(form)}
        return await self._send("POST", url, headers={"accept": "application/json"}, auth=auth, **body)

    async def post_json(self, url: str, body: Any) -> Answer:
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        return await self._send("POST", url, headers=headers, content=msgspec.json.encode(body))

    def check(self, url: str) -> str:
        """The URL, if it may be used at all. Raises UpstreamFailed naming it."""
        try:
            self._policy.check_url(url, param="url")
        except InvalidRequest as refusal:
            raise UpstreamFailed(
                f"the authorization server names an unusable address {url}: {refusal.message}",
                code="oauth_bad_url",
            ) from None
        return url

    async def _send(self, method: str, url: str, **request: Any) -> Answer:
        self.check(url)
        try:
            async with (
                asyncio.timeout(TOTAL_TIMEOUT_S),
                self._client.stream(method, url, **request) as response,
            ):
                return Answer(response.status_code, response.headers, _object(await _bounded(response)))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise UpstreamFailed(
                f"{urlsplit(url).hostname} cannot be reached or did not answer", code="oauth_unreachable",
                details={"reason": type(error).__name__},
            ) from None  # fmt: skip


async def _bounded(response: httpx.Response) -> bytes:
    """As much of a body as is looked at; nothing of one that is compressed, which was not asked for: a small
    one could be very large."""
    body = b""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return body
    async for chunk in response.aiter_raw():
        body += chunk
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if len(body) > MAX_BYTES or is_stream:
            break
    return body


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = msgspec.json.decode(body)
    except NOT_JSON:
        return None
    return decoded if isinstance(decoded, dict) else None
