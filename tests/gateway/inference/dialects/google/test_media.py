"""Images, documents, sound and video of other dialects."""

import base64

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Document,
    Image,
    Inline,
    Linked,
    PlainText,
    Uploaded,
    Video,
)
from kit.errors import Unsupported
from tests.gateway.inference.dialects.google.builders import (
    ask,
    body,
    encoded,
    told,
)


def test_media() -> None:
    request = ask(
        told(
            Image(source=Inline(media_type="image/png", data="aWs="), detail="high"),
            Image(source=Linked(url="https://example.com/a.jpg")),
            Document(source=PlainText(text="words"), title="t", context="from 1999", citations=True),
            Document(source=Uploaded(dialect="google", file_id="gs://b/c.pdf", media_type="application/pdf")),
            Audio(data="aWs=", format="mp3"),
            Video(source=Linked(url="https://www.youtube.com/watch?v=1")),
        )
    )
    found = encoded(request)
    assert found.body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "aWs="}},
        {"fileData": {"fileUri": "https://example.com/a.jpg", "mimeType": "image/jpeg"}},
        {"text": "from 1999"},
        {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode(b"words").decode()}},
        {"fileData": {"fileUri": "gs://b/c.pdf", "mimeType": "application/pdf"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "aWs="}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1", "mimeType": "video/mp4"}},
    ]
    spot = "messages[0].content"
    assert found.dropped == (f"{spot}[0].detail", f"{spot}[2].title", f"{spot}[2].citations")


def test_media_that_google_cannot_get_is_refused() -> None:
    linked = ask(told(Image(source=Linked(url="https://example.com/a.png"))))
    with pytest.raises(Unsupported) as refused:
        body(linked, image_urls=False)
    assert refused.value.param == "messages[0].content[0].source"
    elsewhere = ask(told(Document(source=Uploaded(dialect="anthropic", file_id="file_1"))))
    with pytest.raises(Unsupported):
        body(elsewhere)
    video = ask(told(Video(source=Linked(url="https://youtu.be/1"))))
    assert body(video, image_urls=False)["contents"]
