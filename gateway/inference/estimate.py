"""Bounding a request's input tokens before anybody has counted them.

A byte-level tokenizer never yields more tokens than the text has bytes, so the body's size bounds its
text; a fixed allowance covers what providers add themselves (tool-use preamble) and what has no bytes in
the body (media given by URL). No provider accepts more than the model's context window.
"""

import re

PREAMBLE_TOKENS = 1_000
"""Added by providers around tools and messages; Anthropic documents up to 530 tokens with tools."""
IMAGE_TOKENS = 5_000
"""The most one image costs (Anthropic: 4,784 at high resolution; OpenAI: below that)."""
DOCUMENT_TOKENS = 450_000
"""The most one document by URL costs: 100 pages at up to 4,500 tokens."""
SERVER_TOOL_TOKENS = 50_000
"""Set aside for each tool that runs at the provider (code execution, web fetch): it rereads the
conversation on every step. No bound exists; recorded calls took up to 10,000 tokens more than they sent."""
BYTES_PER_TOKEN = 4

_SERVER_TOOL = re.compile(rb'_20\d{6}"')

_MEDIA_BY_REFERENCE = (
    (b'"image"', IMAGE_TOKENS),
    (b'"image_url"', IMAGE_TOKENS),
    (b'"document"', DOCUMENT_TOKENS),
    (b'"file"', DOCUMENT_TOKENS),
)


def input_token_bound(raw: bytes, context_window: int | None) -> int:
    """The most input tokens that a request with this JSON body can have."""
    bound = len(raw) + PREAMBLE_TOKENS
    for marker, tokens in _MEDIA_BY_REFERENCE:
        bound += raw.count(marker) * tokens
    bound += len(_SERVER_TOOL.findall(raw)) * SERVER_TOOL_TOKENS
    return min(bound, context_window) if context_window else bound


def input_token_guess(raw: bytes) -> int:
    """A middling guess, used only to bill a stream that broke before its provider counted."""
    return -(-len(raw) // BYTES_PER_TOKEN)
