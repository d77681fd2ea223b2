"""HTTP beneath the MCP SDK's client: answers as they come, failures named, connections kept and given up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx2
import pytest

import broker.mcp_http
from broker.mcp_http import MAX_HEADER_BYTES, SessionTransport
from kit.outbound import OutboundPolicy, parse_networks

LOOPBACK = OutboundPolicy(parse_networks("loopback"))
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that reads requests and answers them as it was told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self.connections = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = await reader.readexactly(_length(head))
                    self.heard.append(head + body)
                    await self.answer(head, writer)
        finally:
            self.open -= 1
            writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def aiohttp_times(read_s: float, *, connect: float = 5.0) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read_s)


def saying(raw: bytes, *, then_close: bool = False) -> Answer:
    async def answer(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if then_close:
            writer.close()

    return answer


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[tuple[Peer, str]]:
    there = Peer(answer)
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    try:
        yield there, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp?a=%2F"
    finally:
        server.close()


@asynccontextmanager
async def client(policy: OutboundPolicy = LOOPBACK) -> AsyncIterator[httpx2.AsyncClient]:
    transport = SessionTransport(policy)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as made:
        yield made


async def test_a_request_arrives_as_it_was_made_and_connections_are_kept() -> None:
    async with peer(saying(OK)) as (there, url), client() as http:
        for _ in range(3):
            answer = await http.post(
                url, content=b'{"a":1}', headers={"x-a": "1", "accept": "text/event-stream"}
            )
            assert (answer.status_code, answer.json()) == (200, {})
        assert (len(there.heard), there.connections) == (3, 1)
        head, _, body = there.heard[0].partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0] == b"post /mcp?a=%2f http/1.1"
        assert b"x-a: 1" in lines and b"accept: text/event-stream" in lines
        assert body == b'{"a":1}'
        for name in (b"host", b"content-length", b"user-agent", b"accept", b"accept-encoding"):
            assert sum(line.startswith(name + b":") for line in lines) == 1, head


async def test_repeated_headers_all_arrive_and_redirects_are_answers() -> None:
    moved = (
        b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\nx-b: 1\r\nx-b: 2\r\ncontent-length: 0\r\n\r\n"
    )
    async with peer(saying(moved)) as (_, url), client() as http:
        answer = await http.post(url, content=b"{}")
        assert answer.status_code == 307
        assert answer.headers.get_list("x-b") == ["1", "2"]


async def test_an_answer_comes_piece_by_piece_and_one_that_is_left_is_given_up() -> None:
    async def pieces(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(1000):
            writer.write(b"3\r\nab%d\r\n" % (number % 10))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with peer(pieces) as (there, url), client() as http:
        async with http.stream("POST", url, content=b"{}") as answer:
            first = await anext(answer.aiter_raw())
            assert first.startswith(b"ab0")
        async with asyncio.timeout(5):
            while there.open:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}", httpx2.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", httpx2.RemoteProtocolError),
        (
            b"HTTP/1.1 200 OK\r\nx: " + b"a" * (MAX_HEADER_BYTES + 10) + b"\r\n\r\n",
            httpx2.RemoteProtocolError,
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", httpx2.RemoteProtocolError),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
            httpx2.RemoteProtocolError,
        ),
    ],
    ids=["nothing", "half", "no HTTP", "a huge header", "many headers", "two lengths"],
)
async def test_what_is_no_answer_is_the_servers_fault(raw: bytes, failure: type[Exception]) -> None:
    async with peer(saying(raw, then_close=True)) as (_, url), client() as http:
        with pytest.raises(failure):
            await http.post(url, content=b"{}")


async def test_what_cannot_be_reached_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as http:
        with pytest.raises(httpx2.ConnectError):
            await http.post("http://127.0.0.1:1/", content=b"{}")
        with pytest.raises(httpx2.ConnectError):
            await http.post("http://no-such-host.invalid/", content=b"{}")
    async with peer(saying(OK)) as (there, url):
        async with client(OutboundPolicy()) as guarded:
            with pytest.raises(httpx2.ConnectError) as refused:
                await guarded.post(url, content=b"{}")
            assert "127.0.0.1" not in str(refused.value)
        monkeypatch.setattr(broker.mcp_http, "_TIMES", aiohttp_times(5.0, connect=0.3))
        async with client() as http:
            with pytest.raises(httpx2.ConnectTimeout):  # TLS where none is spoken
                await http.post(url.replace("http:", "https:"), content=b"{}")
        assert there.heard == []


async def test_a_header_that_would_be_two_is_refused_here() -> None:
    async with peer(saying(OK)) as (there, url), client() as http:
        with pytest.raises(httpx2.LocalProtocolError):
            await http.post(url, content=b"{}", headers={"x-a": "1\r\nx-b: 2"})
        assert there.heard == []


async def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_head: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(broker.mcp_http, "_TIMES", aiohttp_times(0.1))
    async with peer(nothing) as (there, url), client() as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(url, content=b"{}")
        assert len(there.heard) == 1


async def test_with_every_socket_taken_a_request_that_waits_too_long_was_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(_head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.write(OK)

    monkeypatch.setattr(broker.mcp_http, "MAX_SOCKETS", 1)
    monkeypatch.setattr(broker.mcp_http, "_TIMES", aiohttp_times(5.0, connect=0.1))
    async with peer(slow) as (there, url), client() as http:
        first = asyncio.create_task(http.post(url, content=b"{}"))
        await asyncio.sleep(0.05)
        with pytest.raises(httpx2.ConnectTimeout):
            await http.post(url, content=b"{}")
        assert (await first).status_code == 200
        assert len(there.heard) == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async with peer(saying(OK, then_close=True)) as (there, url), client() as http:
        for _ in range(3):
            assert (await http.post(url, content=b"{}")).status_code == 200
            await asyncio.sleep(0.05)
        assert there.connections == 3


async def test_who_calls_off_a_request_ends_its_connection() -> None:
    async def nothing(_head: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with peer(nothing) as (there, url), client() as http:
        waiting = asyncio.create_task(http.post(url, content=b"{}"))
        while not there.heard:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        again = asyncio.create_task(http.post(url, content=b"{}"))
        while len(there.heard) < 2:
            await asyncio.sleep(0.01)
        assert there.connections == 2
        again.cancel()
