"""The floor: a proxy that does nothing but forward, with the server and the client that Heddle uses.

No key, no parsing, no billing: what is left is the price of being in the middle at all in this language.
"""

import asyncio
import sys

import aiohttp
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

DROPPED = {b"host", b"content-length", b"connection", b"accept-encoding"}


class FloorProxy:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.session is not None
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name not in DROPPED
        }
        async with self.session.post(self._upstream + scope["path"], data=body, headers=headers) as answer:
            kept = [(b"content-type", answer.headers["content-type"].encode())]
            start = {"type": "http.response.start", "status": answer.status, "headers": kept}
            if "content-length" in answer.headers:
                whole = await answer.read()
                kept.append((b"content-length", str(len(whole)).encode()))
                await send(start)
                await send({"type": "http.response.body", "body": whole})
                return
            await send(start)
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def main(upstream: str) -> None:
    proxy = FloorProxy(upstream)
    config = uvicorn.Config(
        proxy, port=0, http="httptools", lifespan="off", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)
    connector = aiohttp.TCPConnector(limit=1000)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        proxy.session = session
        listener = config.bind_socket()
        host, port = listener.getsockname()
        sys.stdout.write(f"the floor proxy listens on http://{host}:{port}\n")
        sys.stdout.flush()
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
