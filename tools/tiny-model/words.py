"""Generated lowercase words: pronounceable, random, and those that start like an English word."""

from __future__ import annotations

import string
from random import Random
from typing import Final

ONSETS: Final = (
    "b bl br c ch cl d dr f fl g gl gr h j k l m n p pl pr qu r s sh sl st t th tr v w z".split()
)
VOWELS: Final = "a e i o u ai ea ee ia io oo ou".split()
CODAS: Final = ["", "", "", "l", "m", "n", "nd", "ng", "nt", "r", "rd", "s", "st", "t", "x", "y"]


def pronounceable(rng: Random, shortest: int, longest: int) -> str:
    """A made-up word of syllables, cut to a length drawn evenly from the range."""
    length = rng.randint(shortest, longest)
    word = ""
    while len(word) < length:
        word += rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    return word[:length]


def random_letters(rng: Random, shortest: int, longest: int) -> str:
    """Letters with no pattern at all; a model has to copy them, it cannot guess them."""
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(shortest, longest)))


def starting_like(rng: Random, stems: tuple[str, ...], shortest: int, longest: int) -> str:
    """A word that starts with part of a stem.

    The tokenizer may read such a start as one token, whose spelling the model must know to
    reverse it; drawing these on purpose makes every such token common.
    """
    length = rng.randint(shortest, longest)
    stem = rng.choice(stems)
    stem = stem[: rng.randint(1, min(length, len(stem)))]
    return stem + "".join(rng.choices(string.ascii_lowercase, k=length - len(stem)))
