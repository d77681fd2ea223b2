"""TLS in front of a server on loopback that has none."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class TlsFront:
    """Takes TLS off and hands on, as an operator's proxy would. ``port``: where to."""

    def __init__(self) -> None:
        self.port = 0

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self.port)
        with suppress(ConnectionError):
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

    @asynccontextmanager
    async def serving(self, certificate: Path, key: Path) -> AsyncIterator[str]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        server = await asyncio.start_server(self._hand_on, "127.0.0.1", 0, ssl=tls)
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()
