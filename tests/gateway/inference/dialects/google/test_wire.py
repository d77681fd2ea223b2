"""Calling Gemini."""

import pytest

from gateway.inference.dialects.google.wire import GoogleWire

WIRE = GoogleWire()


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-3-pro", False, "/v1beta/models/gemini-3-pro:generateContent"),
        ("gemini-3-pro", True, "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("models/gemini-3-pro", False, "/v1beta/models/gemini-3-pro:generateContent"),
        ("tunedModels/mine", False, "/v1beta/tunedModels/mine:generateContent"),
        ("a?key=b#c", False, "/v1beta/models/a%3Fkey%3Db%23c:generateContent"),
    ],
)
def test_the_path_names_model_and_method(model: str, stream: bool, path: str) -> None:
    assert WIRE.path_of(model, stream=stream) == path


def test_a_model_cannot_lead_elsewhere() -> None:
    for model in ("../../v1/other", "../other", "models/../other", "a/b"):
        steps = WIRE.path_of(model, stream=False).split("/")
        assert len(steps) == 4
        assert ".." not in steps


def test_the_key_is_in_its_header() -> None:
    assert WIRE.request_headers("k", {}) == {"content-type": "application/json", "x-goog-api-key": "k"}
    assert WIRE.request_headers(None, {}) == {"content-type": "application/json"}
