"""Tokens of text, told from its bytes: no tokenizer, some microseconds for a kilobyte.

Two sums are made over the bytes, and the greater one holds. The first is right for words: the space before
a word weighs most of it and frequent letters little, because the two of them are mostly one token. The
second is right for what no vocabulary was made for: it counts three consonants in a row, two vowels in a
row, capitals, digits and signs.

All weights are at least zero, so that more text never has fewer tokens. They were set so that the result
lies above the public byte-pair vocabularies (cl100k and o200k): about 1.3 times their count for English and
other Latin text, 1.5 times for source code, and at or a little above it also for base64, hexadecimal, random
letters, punctuation and random characters of any script. docs/benchmarks.md has the figures.
"""

import zlib

_STEPS = 24
"""Weights are kept in this fraction of a token."""
_CHUNK = 640
"""Bytes summed at a time: the checksum used sums modulo 65,521, and the heaviest byte has 94 steps."""
_CONSONANT, _VOWEL = 2, 1
"""The weights of small letters in the second sum, in steps; no other character has these."""
_THREE_CONSONANTS = 2.5
_TWO_VOWELS = 2.6

_AS_WORDS = (
    (b" ", 0.67),
    (b"\t\n\r", 1.5),
    (b"0123456789", 1.2),
    (b"\"',.:_-/", 0.52),
    (b"!#$%&()*+;<=>?@[\\]^`{|}~", 0.75),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0.58),
    (b"acdehilmnorstu", 0.08),
    (b"bfgpwy", 0.42),
    (b"jkqvxz", 1.3),
)
"""Tokens of a character of ASCII; those that are not named, which do not print, are a token each."""
_AS_NONSENSE = (
    (b"bcdfghjklmnpqrstvwxz", _CONSONANT / _STEPS),
    (b"aeiouy", _VOWEL / _STEPS),
    (b"\"',.:_-/\t\n\r", 0.0),
    (b" ", 0.2),
    (b"0123456789", 1.15),
    (b"!#$%&()*+;<=>?@[\\]^`{|}~", 1.0),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1.2),
)
_BEYOND_ASCII = (
    (0x80, 0xBF, 0.0),  # the second and later bytes of a character
    (0xC0, 0xCD, 1.3),  # Latin with accents
    (0xCE, 0xCF, 1.15),  # Greek
    (0xD0, 0xD1, 0.9),  # Cyrillic
    (0xD2, 0xD5, 2.0),  # its extensions, Armenian
    (0xD6, 0xD7, 1.46),  # Hebrew
    (0xD8, 0xD9, 1.2),  # Arabic
    (0xDA, 0xDF, 2.0),
    (0xE0, 0xE0, 1.9),  # India, Thailand
    (0xE1, 0xE1, 3.0),  # Georgian, Ethiopic, Khmer, Mongolian
    (0xE2, 0xE2, 2.5),  # signs, mathematics, boxes
    (0xE3, 0xE3, 1.6),  # kana
    (0xE4, 0xE9, 2.42),  # Chinese characters
    (0xEA, 0xED, 2.6),  # Hangul
    (0xEE, 0xEF, 3.0),
    (0xF0, 0xFF, 3.9),  # emoji, rare Chinese characters
)
"""Tokens of a character by the first byte of its UTF-8: those of random characters, which are two to three
times those of natural text. A sum over bytes cannot tell the two apart."""


def _table(ascii_weights: tuple[tuple[bytes, float], ...]) -> bytes:
    tokens = [1.0] * 256
    for characters, weight in ascii_weights:
        for byte in characters:
            tokens[byte] = weight
    for first, last, weight in _BEYOND_ASCII:
        tokens[first : last + 1] = [weight] * (last + 1 - first)
    return bytes(round(weight * _STEPS) for weight in tokens)


_WORDS = _table(_AS_WORDS)
_NONSENSE = _table(_AS_NONSENSE)
_CCC = bytes([_CONSONANT] * 3)
_VV = bytes([_VOWEL] * 2)


def text_tokens(text: bytes) -> float:
    """About the most tokens that a byte-pair tokenizer of today makes of UTF-8 text."""
    nonsense = text.translate(_NONSENSE)
    runs = _THREE_CONSONANTS * nonsense.count(_CCC) + _TWO_VOWELS * nonsense.count(_VV)
    return max(_sum(text.translate(_WORDS)) / _STEPS, _sum(nonsense) / _STEPS + runs)


def _sum(steps: bytes) -> int:
    """The sum of the bytes. Adler-32's lower half is one more than it (RFC 1950, section 9), and nothing in
    the standard library sums bytes faster."""
    if len(steps) <= _CHUNK:
        return (zlib.adler32(steps) & 0xFFFF) - 1
    chunks = range(0, len(steps), _CHUNK)
    return sum([zlib.adler32(steps[start : start + _CHUNK]) & 0xFFFF for start in chunks]) - len(chunks)
