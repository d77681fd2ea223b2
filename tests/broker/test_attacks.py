"""Attacks on whoever calls a tenant's address: webhooks, OAuth discovery and MCP, each against them all."""

import asyncio
import gzip
import itertools
import resource
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from kit.outbound import OutboundPolicy, guarded_client, parse_networks
from kit.outbound_session import guarded_session
from tests.broker.hostile import ENOUGH, callers, listening
from tests.broker.rig import LOOPBACK

NOTHING_PRIVATE = OutboundPolicy()
STAND_IN = "127.0.0.2"
"""Here it stands for a public address, and 127.0.0.1 for a private one."""
ONLY_THE_STAND_IN = OutboundPolicy(parse_networks(f"{STAND_IN}/32"))

DISGUISES = [
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "localhost..", "app.localhost", "127.0.0.1.",
    "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "１２７.0.0.1",
    "127。0。0。1", "①②⑦.⓪.⓪.①", "0.0.0.0", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "user:pass@127.0.0.1", "example.com@127.0.0.1",
    "127.0.0.1%00.example.com", "127.0.0.1%2eexample.com",
]  # fmt: skip
ELSEWHERE = ["unix:///run/docker.sock", "file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http:///x"]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def test_no_disguise_of_an_address_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    async with (
        callers(NOTHING_PRIVATE, monkeypatch) as all_callers,
        listening() as four,
        listening(host="::1", port=four.port) as six,
    ):
        urls = [f"http://{host}:{four.port}/x" for host in DISGUISES] + ELSEWHERE
        for reach in all_callers.values():
            for url in urls:
                assert not await reach(url), url
        assert four.connections == six.connections == 0


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Callable[[], list[str]]) -> list[list[str]]:
    """Have ``answers`` be what any name resolves to; returns what was answered."""
    loop, given = asyncio.get_running_loop(), list[list[str]]()
    really = loop.getaddrinfo

    async def resolve(host: Any, port: Any, **options: Any) -> Any:
        if host[0].isdigit():
            return await really(host, port, **options)
        given.append(answers())
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in given[-1]]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    return given


async def test_a_name_that_is_rebound_between_two_look_ups_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = OK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    async with (
        callers(ONLY_THE_STAND_IN, monkeypatch) as all_callers,
        listening(lambda: [answer], host=STAND_IN) as public,
        listening(lambda: [answer], port=public.port) as private,
    ):
        for reach in all_callers.values():
            turns = itertools.cycle([[STAND_IN], ["127.0.0.1"]])
            given = resolving(monkeypatch, lambda turns=turns: next(turns))  # type: ignore[misc]
            await reach(f"http://rebind.example:{public.port}/")
            await reach(f"http://rebind.example:{public.port}/")
            assert ["127.0.0.1"] in given and [STAND_IN] in given
        assert public.connections >= 3 and private.connections == 0


async def test_of_an_answer_with_several_addresses_private_ones_are_not_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, lambda: ["127.0.0.1", STAND_IN, "127.0.0.3"])
    answer = OK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    async with (
        callers(ONLY_THE_STAND_IN, monkeypatch) as all_callers,
        listening(lambda: [answer], host=STAND_IN) as public,
        listening(lambda: [answer], port=public.port) as private,
    ):
        for count, reach in enumerate(all_callers.values(), 1):
            await reach(f"http://mixed.example:{public.port}/")
            assert public.connections >= count
        assert private.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    async with callers(ONLY_THE_STAND_IN, monkeypatch) as all_callers, listening() as private:
        away = f"HTTP/1.1 {status} Away\r\nlocation: http://127.0.0.1:{private.port}/\r\n"
        here = f"HTTP/1.1 {status} Away\r\nlocation: /elsewhere\r\n"
        for head in (away, here):
            answer = head.encode() + b"connection: close\r\ncontent-length: 0\r\n\r\n"
            async with listening(lambda answer=answer: [answer], host=STAND_IN) as public:  # type: ignore[misc]
                for name, reach in all_callers.items():
                    assert not await reach(f"http://{STAND_IN}:{public.port}/x")
                    if name != "mcp":  # its SDK follows those that stay at the server (307 and 308)
                        assert not any(b"elsewhere" in sent for sent in public.heads)
        assert private.connections == 0


def endless(start: bytes, piece: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.chain([start], itertools.repeat(piece))


BOMB = gzip.compress(b"0" * 200_000_000)
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
STREAM = OK.replace(b"application/json", b"text/event-stream") + b"\r\n"
ATTACKS: dict[str, Callable[[], Iterable[bytes]]] = {
    "a body without end": endless(OK + b"\r\n", b"x" * 65_536),
    "JSON without end": endless(OK + b"\r\n[", b"1," * 32_768),
    "an event stream without end": endless(STREAM, b"data: " + b"x" * 65_536 + b"\n"),
    "a length of a petabyte": endless(OK + b"content-length: 1000000000000000\r\n\r\n", b"x" * 65_536),
    "a length below zero": lambda: [OK + b"content-length: -1\r\n\r\n{}"],
    "two lengths": lambda: [OK + b"content-length: 2\r\ncontent-length: 99\r\n\r\n{}"],
    "a gzip bomb": lambda: [
        OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB), BOMB
    ],
    "a gzip bomb of chunks": lambda: [
        CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + b"%x\r\n" % len(BOMB),
        BOMB + b"\r\n0\r\n\r\n",
    ],
    "chunks without end": endless(CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "tiny chunks without end": endless(CHUNKED, b"1\r\nx\r\n" * 10_000),
    "a chunk of all memory": endless(CHUNKED + b"ffffffffffffffff\r\n", b"x" * 65_536),
    "a chunk whose size never ends": endless(CHUNKED, b"0" * 65_536),
    "a chunk extension without end": endless(CHUNKED + b"1;", b"x" * 65_536),
    "trailers without end": endless(CHUNKED + b"0\r\n", b"x-t: " + b"x" * 4_000 + b"\r\n"),
    "a header without end": endless(b"HTTP/1.1 200 OK\r\nx-h: ", b"x" * 65_536),
    "headers without end": endless(b"HTTP/1.1 200 OK\r\n", b"x-h: 1\r\n" * 8_192),
    "a status line without end": endless(b"HTTP/1.1 200 ", b"K" * 65_536),
    "interim answers without end": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
    "another protocol": lambda: [b"SSH-2.0-OpenSSH_9.9\r\n", b"\x00" * 4_096],
    "nothing": list,
    "half an answer": lambda: [OK + b"content-length: 100\r\n\r\n{"],
}  # fmt: skip


ONLY_TIME_ENDS_IT = {"a chunk extension without end", "a chunk whose size never ends"}
"""What is skipped as it comes (leading zeros of a size, too): it takes no memory, and is not counted."""


def peak_kb() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_ends_in_an_error_in_bounds(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = peak_kb()
    async with callers(LOOPBACK, monkeypatch) as all_callers:
        for name, reach in all_callers.items():
            async with listening(ATTACKS[attack]) as hostile:
                async with asyncio.timeout(30):
                    assert not await reach(f"http://127.0.0.1:{hostile.port}/x"), name
                assert hostile.connections > 0
                assert hostile.sent < ENOUGH or attack in ONLY_TIME_ENDS_IT, name
    assert peak_kb() - before < 150_000


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nx: ", OK + b"content-length: 9999\r\n\r\n", CHUNKED]
)
async def test_a_byte_now_and_then_does_not_hold_a_call_beyond_its_time(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with callers(LOOPBACK, monkeypatch) as all_callers:
        for name, reach in all_callers.items():
            drip = b"1\r\nx\r\n" if start == CHUNKED else b"1"
            async with listening(endless(start, drip), every_s=0.05) as slow:
                started = time.monotonic()
                assert not await reach(f"http://127.0.0.1:{slow.port}/x"), name
                assert time.monotonic() - started < 15, name  # limits of one second, and a slow machine


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-one", "1\r\nx-two: 2"),
        ("x-one", "1\nx-two: 2"),
        ("x-one\r\nx-two", "2"),
        ("x-one: 1\r\nx-two", "2"),
    ],
)
async def test_no_header_smuggles_another(name: str, value: str) -> None:
    async with listening(lambda: [OK + b"content-length: 2\r\n\r\n{}"]) as listener:
        url = f"http://127.0.0.1:{listener.port}/x"
        async with guarded_client(LOOPBACK) as client:
            with pytest.raises(Exception, match=r"(?i)header|control|newline|illegal"):
                await client.get(url, headers={name: value})
        async with guarded_session(LOOPBACK) as session:
            with pytest.raises(ValueError, match=r"(?i)newline|header|control|forbidden"):
                await session.post(url, headers={name: value})
        assert not any(b"x-two" in head for head in listener.heads)


async def test_cookies_of_one_call_are_not_sent_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = OK + b"set-cookie: tenant=acme; path=/\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    async with callers(LOOPBACK, monkeypatch) as all_callers, listening(lambda: [answer]) as listener:
        for name in ("webhook", "oauth"):
            for _ in range(2):
                assert await all_callers[name](f"http://127.0.0.1:{listener.port}/x")
        assert len(listener.heads) == 4 and not any(b"cookie" in head.lower() for head in listener.heads)
