"""Fetching one small file from an address that a tenant chose."""

import asyncio

import httpx

from kit.errors import InvalidRequest
from kit.outbound import OutboundPolicy, guarded_client

SILENCE_S = 10.0
TOTAL_S = 20.0


async def fetch_bounded(policy: OutboundPolicy, url: str, *, max_bytes: int, param: str) -> bytes:
    """The body at ``url``. Raises InvalidRequest naming ``param``: an address that may not be called or does
    not answer with 200, or more than ``max_bytes``."""
    policy.check_url(url, param=param)
    body = b""
    try:
        async with (
            asyncio.timeout(TOTAL_S),
            guarded_client(policy, timeout_s=SILENCE_S) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
        ):
            if response.status_code != 200:
                raise InvalidRequest(f"{param}: answered with {response.status_code}", param=param)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise InvalidRequest(f"{param}: answered compressed, which was not asked for", param=param)
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > max_bytes:
                    raise InvalidRequest(f"{param}: larger than {max_bytes} bytes", param=param)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        raise InvalidRequest(f"{param}: cannot be reached or did not answer", param=param) from None
    return body
