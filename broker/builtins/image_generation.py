"""Drawing pictures by the gateway's own models, billed like every other call of the key."""

import base64
import binascii
from typing import Any

from broker.builtins.builtin import Builtin, Invocation, Made
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import count, fields, text
from broker.builtins.images import ImageRequest, MadeImage

MAX_IMAGES = 4
MAX_SHOWN_BYTES = 8 * 1024 * 1024
"""Of the base64 of all pictures together: they are kept with the call."""
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


async def run(call: Invocation) -> Any:
    maker = call.services.images
    if maker is None:
        raise BuiltinFailed("Nothing here can draw pictures.", status="not_available")
    model = call.config["model"]
    made = await maker.make(
        call.scope,
        call.payment,
        ImageRequest(
            model=model,
            prompt=call.input["prompt"],
            count=call.input.get("count", 1),
            size=call.input.get("size") or call.config.get("size"),
            quality=call.config.get("quality"),
        ),
    )
    shown: list[dict[str, str]] = []
    room = MAX_SHOWN_BYTES
    for image in made:
        room -= len(image.base64 or "")
        if room >= 0:
            shown.append(_shown(image))
    left_out = len(made) - len(shown)
    told = f"{len(shown)} pictures were drawn, and are shown to the user."
    if left_out:
        told += f" {left_out} more are too large to be kept."
    return Made({"model": model, "images": shown}, told)


def _shown(image: MadeImage) -> dict[str, str]:
    if image.base64 is None:
        return {"url": image.url or ""}
    try:
        start = base64.b64decode(image.base64[:16])
    except (binascii.Error, ValueError):
        start = b""
    kind = next((kind for sign, kind in _SIGNATURES.items() if start.startswith(sign)), "image/png")
    return {"media_type": kind, "data": image.base64}


TOOL = Builtin(
    slug="image-generation",
    display_name="Image generation",
    brand=None,
    description="Draws pictures from a description. They are shown to the user.",
    input_schema=fields(
        "prompt",
        prompt=text("What to draw", most=32_000),
        count=count("How many pictures", MAX_IMAGES, 1),
        size=text("Such as 1024x1024 or 1536x1024, if the model knows it", most=20, pattern="^[0-9a-z:x]+$"),
    ),
    config_schema=fields(
        "model",
        model=text("A model for images, by its id or alias", most=200),
        size=text("Size of pictures for which none is asked", most=20),
        quality=text("The model's quality, such as low, medium or high", most=20),
    ),
    run=run,
    retry_safe=False,
    timeout_ms=120_000,
)
