"""The official SDK of OpenAI against the routes for media, as it is."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, OpenAI, UnprocessableEntityError
from openai.types.audio import TranscriptionTextDoneEvent, TranscriptionVerbose
from openai.types.image_gen_completed_event import ImageGenCompletedEvent

from tests.gateway.inference.media.rig import events, media_heddle, sound, spoken
from tests.gateway.inference.media.test_deepgram import answer as deepgram_answer
from tests.gateway.inference.media.test_images import USAGE as IMAGE_USAGE
from tests.gateway.inference.media.test_transcriptions import DELTAS, DONE
from tests.gateway.inference.passing import settled
from tests.gateway.inference.upstream import Upstream, stream, whole
from tests.gateway.serving import Serving


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


@pytest.fixture
async def client(heddle: Serving) -> AsyncIterator[AsyncOpenAI]:
    url = f"{heddle.base_url}/v1"
    async with AsyncOpenAI(api_key=heddle.admin_key, base_url=url, max_retries=0) as made:
        yield made


async def test_images(client: AsyncOpenAI, heddle: Serving, upstream: Upstream) -> None:
    made = {"created": 1, "data": [{"b64_json": "QUJD"}], "usage": {**IMAGE_USAGE, "total_tokens": 1150}}
    upstream.answer = whole(json.dumps(made).encode())
    got = await client.images.generate(model="draw-tokens", prompt="a loom", size="1024x1024", n=1)
    assert got.data is not None
    assert base64.b64decode(got.data[0].b64_json or "") == b"ABC"
    assert got.usage is not None
    assert got.usage.output_tokens == 1100
    assert (await heddle.only_event()).output_tokens == 1100


async def test_streamed_images(client: AsyncOpenAI, heddle: Serving, upstream: Upstream) -> None:
    last = {"type": "image_generation.completed", "b64_json": "QUJD", "usage": IMAGE_USAGE}
    partial = {"type": "image_generation.partial_image", "b64_json": "QQ==", "partial_image_index": 0}
    upstream.answer = stream(*events(partial, last))
    got = [
        event
        async for event in await client.images.generate(
            model="draw-tokens", prompt="a loom", stream=True, partial_images=1
        )
    ]
    assert [event.type for event in got] == ["image_generation.partial_image", "image_generation.completed"]
    assert isinstance(got[1], ImageGenCompletedEvent)
    assert got[1].usage.output_tokens == 1100
    await settled(heddle)
    assert (await heddle.only_event()).output_tokens == 1100


async def test_a_stream_of_images_that_breaks_raises(client: AsyncOpenAI, upstream: Upstream) -> None:
    partial = {"type": "image_generation.partial_image", "b64_json": "QQ=="}
    upstream.answer = stream(*events(partial), break_off=True)
    with pytest.raises(APIError, match="broke off"):
        async for _ in await client.images.generate(model="draw-tokens", prompt="a loom", stream=True):
            pass


@pytest.mark.parametrize("model", ["say-each", "say-tokens", "eleven"])
async def test_speech(
    client: AsyncOpenAI, heddle: Serving, upstream: Upstream, model: str, tmp_path: Path
) -> None:
    pieces = (b"ID3" * 1000, b"two" * 1000)
    sound_itself = stream(*pieces, content_type="audio/mpeg")
    upstream.answer = stream(*spoken(*pieces)) if model == "say-tokens" else sound_itself
    file = tmp_path / "said.mp3"
    async with client.audio.speech.with_streaming_response.create(
        model=model, voice="alloy", input="Hello there"
    ) as got:
        await got.stream_to_file(file)
    assert file.read_bytes() == b"".join(pieces)
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos > 0


async def test_transcriptions(client: AsyncOpenAI, heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(b'{"text": "warp", "usage": {"type": "duration", "seconds": 3}}')
    got = await client.audio.transcriptions.create(model="hear-seconds", file=("a.wav", sound()))
    assert got.text == "warp"
    assert (await heddle.only_event()).cost_nanos == 321_000


async def test_transcriptions_as_text(client: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.answer = whole(b"warp\n", content_type="text/plain")
    got = await client.audio.transcriptions.create(
        model="hear-seconds", file=("a.wav", sound()), response_format="text"
    )
    assert str(got) == "warp\n"


async def test_streamed_transcriptions(client: AsyncOpenAI, heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(*DELTAS, *DONE)
    got = [
        event
        async for event in await client.audio.transcriptions.create(
            model="hear-tokens", file=("a.wav", sound()), stream=True
        )
    ]
    assert isinstance(got[-1], TranscriptionTextDoneEvent)
    assert got[-1].text == "warp weft"
    await settled(heddle)
    assert (await heddle.only_event()).input_tokens == 34


async def test_transcriptions_by_deepgram(client: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.answer = whole(deepgram_answer())
    got = await client.audio.transcriptions.create(
        model="deep",
        file=("a.wav", sound()),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert isinstance(got, TranscriptionVerbose)
    assert (got.duration, got.language) == (2.5, "de")
    assert got.segments is not None
    assert got.words is not None
    assert [said.text for said in got.segments] == ["Warp.", "Weft."]
    assert [word.word for word in got.words] == ["Warp", "weft"]
    assert got.usage is not None
    assert got.usage.seconds == 2.5


async def test_errors_have_their_classes_and_fields(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as bad:
        await client.images.generate(model="draw-each", prompt="")
    assert bad.value.param == "prompt"
    with pytest.raises(UnprocessableEntityError) as unpriced:
        await client.audio.speech.create(model="chat", voice="alloy", input="Hello")
    assert unpriced.value.code == "model_not_priced"
    with pytest.raises(BadRequestError) as empty:
        await client.audio.transcriptions.create(model="hear-seconds", file=("a.wav", b""))
    assert empty.value.param == "file"


async def test_the_sync_client(heddle: Serving, upstream: Upstream) -> None:
    def use() -> tuple[str | None, bytes, str]:
        url = f"{heddle.base_url}/v1"
        with OpenAI(api_key=heddle.admin_key, base_url=url, max_retries=0) as client:
            upstream.answer = whole(b'{"created": 1, "data": [{"url": "https://images/1"}]}')
            images = client.images.generate(model="draw-each", prompt="a loom").data or []
            upstream.answer = stream(b"ID3", content_type="audio/mpeg")
            with client.audio.speech.with_streaming_response.create(
                model="say-each", voice="alloy", input="Hello"
            ) as speech:
                said = b"".join(speech.iter_bytes())
            upstream.answer = stream(*DELTAS, *DONE)
            streamed = client.audio.transcriptions.create(
                model="hear-tokens", file=("a.wav", sound()), stream=True
            )
            heard = [event for event in streamed if event.type == "transcript.text.done"]
            return images[0].url, said, heard[0].text

    assert await asyncio.to_thread(use) == ("https://images/1", b"ID3", "warp weft")
