"""Texts of many kinds and how many tokens they have, counted once with the public vocabularies o200k_base and
cl100k_base (OpenAI) and tekken (Mistral)."""

import base64
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Sample:
    kind: str
    text: str
    tokens: int
    """By the vocabulary that makes the most of it."""


def _drawn(characters: Sequence[str], length: int = 1_000, between: str = "") -> str:
    random = Random(20_261_121)  # random() alone is promised to stay the same
    return between.join(characters[int(random.random() * len(characters))] for _ in range(length))


def _between(first: int, last: int) -> list[str]:
    return [chr(code) for code in range(first, last + 1)]


_BYTES = bytes(map(ord, _drawn(_between(0, 255))))
_ARTICLE_1 = {
    "English": "All human beings are born free and equal in dignity and rights. They are endowed with "
    "reason and conscience and should act towards one another in a spirit of brotherhood.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und "
    "Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están "
    "de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и "
    "совестью и должны поступать в отношении друг друга в духе братства.",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق، وقد وهبوا عقلًا وضميرًا وعليهم أن يعامل "
    "بعضهم بعضًا بروح الإخاء.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה "
    "עליהם לנהוג איש ברעהו ברוח של אחווה.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}
"""Universal Declaration of Human Rights, Article 1."""

_CODE = '''def total(prices: Mapping[str, Decimal], order: Sequence[Line]) -> Decimal:
    """What an order costs; raises KeyError for an item that has no price."""
    found = Decimal(0)
    for line in order:
        found += prices[line.item] * line.count
    return found.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
'''
_JSON = json.dumps(
    [
        {"id": 100 + number, "name": name, "email": f"{name.lower()}@example.com", "active": number % 2 == 0}
        for number, name in enumerate(["Alice", "Bob", "Carla", "Dinesh", "Eva", "Farid"])
    ],
    separators=(",", ":"),
)

NATURAL = {**_ARTICLE_1, "source code": _CODE, "JSON": _JSON}
MADE_UP = {
    "random small letters": _drawn(string.ascii_lowercase),
    "random capitals": _drawn(string.ascii_uppercase),
    "random letters and digits": _drawn(string.ascii_letters + string.digits),
    "random frequent letters": _drawn("etaoinsrhldcu"),
    "single letters": _drawn(string.ascii_lowercase, 500, " "),
    "single digits": _drawn(string.digits, 500, " "),
    "a letter a line": _drawn(string.ascii_lowercase, 500, "\n"),
    "digits": _drawn(string.digits),
    "punctuation": _drawn(string.punctuation),
    "everything that prints": _drawn(string.printable),
    "a run of one sign": "!" * 1_000,
    "base64": base64.b64encode(_BYTES).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(_BYTES).decode(),
    "hexadecimal": _BYTES.hex(),
    "escapes of JSON": "".join(
        f"\\u{ord(character):04x}" for character in _drawn(_between(0x4E00, 0x9FFF), 200)
    ),
    "random Cyrillic": _drawn(_between(0x0430, 0x044F)),
    "random Greek": _drawn(_between(0x03B1, 0x03C9)),
    "random Arabic": _drawn(_between(0x0627, 0x064A)),
    "random Hebrew": _drawn(_between(0x05D0, 0x05EA)),
    "random Devanagari": _drawn(_between(0x0905, 0x0939)),
    "random Thai": _drawn(_between(0x0E01, 0x0E2E)),
    "random Chinese": _drawn(_between(0x4E00, 0x9FFE)),
    "random Hangul": _drawn(_between(0xAC00, 0xD7A2)),
    "random kana": _drawn(_between(0x3041, 0x3096)),
    "random accents": _drawn(_between(0xC0, 0xFF)),
    "emoji": _drawn([*_between(0x1F300, 0x1F5FE), *_between(0x1F600, 0x1F64E)]),
    "families of emoji": "👨‍👩‍👧‍👦" * 100,
    "signs of mathematics": _drawn(_between(0x2200, 0x22FE)),
}

_COUNTED = {
    "English": 33,
    "German": 44,
    "Spanish": 44,
    "Russian": 74,
    "Arabic": 89,
    "Hebrew": 129,
    "Hindi": 84,
    "Thai": 65,
    "Chinese": 50,
    "Japanese": 45,
    "Korean": 41,
    "source code": 86,
    "JSON": 138,
    "random small letters": 574,
    "random capitals": 659,
    "random letters and digits": 769,
    "random frequent letters": 459,
    "single letters": 500,
    "single digits": 999,
    "a letter a line": 999,
    "digits": 1000,
    "punctuation": 673,
    "everything that prints": 793,
    "a run of one sign": 500,
    "base64": 1001,
    "base64 for URLs": 988,
    "hexadecimal": 1806,
    "escapes of JSON": 945,
    "random Cyrillic": 851,
    "random Greek": 1122,
    "random Arabic": 1137,
    "random Hebrew": 1485,
    "random Devanagari": 1855,
    "random Thai": 1460,
    "random Chinese": 2349,
    "random Hangul": 2584,
    "random kana": 1423,
    "random accents": 1269,
    "emoji": 3978,
    "families of emoji": 1900,
    "signs of mathematics": 2500,
}


def samples(texts: dict[str, str]) -> list[Sample]:
    return [Sample(kind, text, _COUNTED[kind]) for kind, text in texts.items()]
