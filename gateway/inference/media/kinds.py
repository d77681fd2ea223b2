"""What a model must have a price for, to be used for images, speech or transcriptions."""

from dataclasses import dataclass

from gateway.inference.models import Model
from kit.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of media. Its models are sold by a ``unit`` of their own, or by tokens; of the latter no price
    list says what they are for, so they are known by a part of their names (``marks``)."""

    noun: str
    unit: str
    marks: tuple[str, ...]

    def sold_by_unit(self, model: Model) -> bool:
        """Whether the model is billed by the unit (else by tokens). Raises Unsupported
        (``model_not_priced``) if it has neither price."""
        if self.unit in model.price.units:
            return True
        named_so = any(mark in model.upstream_name.lower() for mark in self.marks)
        if named_so and model.price.lacks(("input", "output")) is None:
            return False
        raise Unsupported(
            f"model {model.slug} cannot be used for {self.noun}: it has no price for {self.unit} (set one in "
            "unit_usd under [models] if it makes them)",
            code="model_not_priced",
            param="model",
        )


IMAGES = Kind("images", "image", ("image",))
SPEECH = Kind("speech", "input_character", ("tts", "speech"))
TRANSCRIPTION = Kind("transcriptions", "audio_second", ("transcribe", "whisper"))
