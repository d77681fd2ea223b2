"""What a developer who tests an endpoint is shown: every part of the exchange, also of one that failed."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from broker.exchange import Exchange
from broker.webhook import WebhookDispatcher
from kit.breaker import FAILURES_TO_OPEN
from kit.clock import ManualClock
from kit.outbound import OutboundPolicy
from tests.broker.webhook_peers import CALL, SCOPE, SECRET, answering, bytes_of, endpoint, target
from tests.certificates import self_signed


async def shown(dispatcher: WebhookDispatcher, url: str, **options: Any) -> dict[str, Any]:
    exchange = Exchange()
    result = await dispatcher.test(target(url, **options), SCOPE, CALL, exchange)
    told = json.loads(json.dumps(exchange.as_json()))
    assert SECRET not in f"{result}{told}{exchange}" and isinstance(told, dict)
    return told


async def test_an_exchange_is_shown_as_it_was_on_the_wire(dispatcher: WebhookDispatcher) -> None:
    answer = JSONResponse({"output": 1}, headers={"x-trace": "abc"})
    answer.raw_headers += [(b"x-odd", b"\xff"), (b"x-trace", b"def")]
    async with endpoint(answering(answer)) as (receiver, url):
        told = await shown(dispatcher, url.replace("127.0.0.1", "localhost"))
    [(headers, body)] = receiver.received
    assert told["request"]["method"] == "POST" and told["request"]["url"].startswith("http://localhost:")
    assert told["request"]["headers"] == headers and told["request"]["body"] == body.decode()
    assert {"host", "content-length", "webhook-signature", "x-qlaud-signature"} <= headers.keys()
    assert told["response"]["status"] == 200 and told["response"]["body"] == '{"output":1}'
    assert told["response"]["headers"]["x-trace"] == "abc, def"
    assert told["response"]["bytes"] == 12 and told["response"]["cut"] is False
    assert told["failure"] is None and told["took_ms"].keys() <= {"dns", "connect", "wait", "body"}
    assert told["took_ms"]["wait"] > 0


async def test_an_error_page_is_shown_too(dispatcher: WebhookDispatcher) -> None:
    page = b"<h1>Bad gateway</h1>" * 1000
    async with bytes_of(b"HTTP/1.1 502 Oh\r\ncontent-length: 20000\r\n\r\n", page) as url:
        told = await shown(dispatcher, url)
    assert told["response"]["status"] == 502 and told["response"]["body"].startswith("<h1>Bad gateway")
    assert (told["response"]["bytes"], told["response"]["cut"]) == (20_000, True)


async def test_a_refused_connection_is_told_with_its_phase(dispatcher: WebhookDispatcher) -> None:
    async with bytes_of() as url:
        pass
    told = await shown(dispatcher, url)
    assert told["failure"]["phase"] == "connect" and "refused" in told["failure"]["reason"].lower()
    assert told["response"] is None and "webhook-signature" in told["request"]["headers"]


async def test_a_name_that_nobody_knows_is_told(
    dispatcher: WebhookDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> object:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    told = await shown(dispatcher, "https://nowhere.example/hook")
    assert told["failure"] == {"phase": "dns", "reason": "Name or service not known"}


async def test_an_address_that_may_not_be_called_is_told(clock: ManualClock) -> None:
    strict = WebhookDispatcher(OutboundPolicy(), clock)
    told = await shown(strict, "https://169.254.169.254/latest/meta-data")
    assert "not a public address" in told["failure"]["reason"]


async def test_a_certificate_that_is_not_trusted_is_told(
    dispatcher: WebhookDispatcher, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("a request went over a connection that is not trusted")

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        told = await shown(dispatcher, url)
    assert told["failure"]["phase"] == "connect" and "certificate" in told["failure"]["reason"]


@pytest.mark.parametrize(
    ("pieces", "phase"),
    [((), "wait"), ((b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", b"{"), "body")],
)
async def test_a_time_out_is_told_with_its_phase(
    dispatcher: WebhookDispatcher, pieces: tuple[bytes, ...], phase: str
) -> None:
    async with bytes_of(*pieces, hang_up=False) as url:
        told = await shown(dispatcher, url, timeout_ms=400)
    assert told["failure"] == {"phase": phase, "reason": "no whole answer within 0.4 seconds"}
    assert told["took_ms"][phase] >= 200


async def test_a_test_is_made_of_an_endpoint_that_is_left_alone_and_brings_it_back(
    dispatcher: WebhookDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.webhook.MAX_ATTEMPTS", 1)
    async with bytes_of() as url:
        for _ in range(FAILURES_TO_OPEN):
            await dispatcher.call(target(url), SCOPE, CALL)
    port = int(url.split(":")[2].split("/")[0])

    async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n" + b'{"output":1}')
        writer.close()

    async with await asyncio.start_server(well, "127.0.0.1", port):
        left_alone = await dispatcher.call(target(url), SCOPE, CALL)
        assert left_alone.record["status"] == "circuit_open"
        assert (await shown(dispatcher, url))["response"]["status"] == 200
        assert (await dispatcher.call(target(url), SCOPE, CALL)).record["status"] == 200
