"""The five tasks: how an example is drawn, what its answer is, and which split it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

import words
from vocabulary import CITIES, NAMES, PHRASINGS, TOKEN_WORDS

Split = Literal["train", "validate", "test"]
TASKS: Final[tuple[str, ...]] = ("sum", "difference", "sort", "reverse", "extract")


@dataclass(frozen=True)
class Example:
    """One question with its only right answer.

    `content` is what the question is about, however it is put: two orders of the same addends or
    two phrasings of the same facts share it, and so share a split.
    """

    task: str
    prompt: str
    answer: str
    content: str

    @property
    def key(self) -> int:
        """64 bits of a hash of the content: identity across processes, and the split's source."""
        digest = hashlib.sha256(f"{self.task}:{self.content}".encode()).digest()
        return int.from_bytes(digest[:8], "big")

    @property
    def split(self) -> Split:
        """Of 100 hash classes, two test and two validate; no content can be in two splits."""
        match self.key % 100:
            case 0 | 1:
                return "test"
            case 2 | 3:
                return "validate"
            case _:
                return "train"


def number(rng: Random) -> int:
    """0..999, with short numbers drawn more often than their share of that range."""
    digits = rng.choices((1, 2, 3), weights=(15, 25, 60))[0]
    return rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def sum_example(rng: Random) -> Example:
    a, b = number(rng), number(rng)
    return Example("sum", f"{a}+{b}=", str(a + b), f"{min(a, b)},{max(a, b)}")


def difference_example(rng: Random) -> Example:
    """One in five operand pairs is close together: digits cancel, the last one decides the sign."""
    a = number(rng)
    b = min(999, max(0, a + rng.randint(-12, 12))) if rng.random() < 0.2 else number(rng)
    return Example("difference", f"{a}-{b}=", str(a - b), f"{min(a, b)},{max(a, b)}")


def sort_example(rng: Random) -> Example:
    """Three to six numbers; one in five lists repeats one of them."""
    values = [number(rng) for _ in range(rng.randint(3, 6))]
    if rng.random() < 0.2:
        values[0] = values[-1]
        rng.shuffle(values)
    ordered = " ".join(map(str, sorted(values)))
    return Example("sort", f"sort {' '.join(map(str, values))} =", ordered, ordered)


def reverse_example(rng: Random) -> Example:
    kind = rng.random()
    if kind < 0.45:
        word = words.pronounceable(rng, 3, 10)
    elif kind < 0.85:
        word = words.random_letters(rng, 3, 10)
    else:
        word = words.starting_like(rng, TOKEN_WORDS, 3, 10)
    return Example("reverse", f"reverse {word} =", word[::-1], min(word, word[::-1]))


def extract_example(rng: Random) -> Example:
    """Names and cities are listed or made up, half each, so that copying beats remembering."""
    listed = rng.random() < 0.5
    name = rng.choice(NAMES) if listed else words.pronounceable(rng, 3, 8).capitalize()
    listed = rng.random() < 0.5
    city = rng.choice(CITIES) if listed else words.pronounceable(rng, 4, 10).capitalize()
    age = rng.randint(1, 99)
    sentence = rng.choice(PHRASINGS).format(name=name, age=age, city=city)
    answer = json.dumps(
        {"name": name, "age": age, "city": city}, ensure_ascii=False, separators=(",", ":")
    )
    return Example("extract", f"json: {sentence}", answer, f"{name},{age},{city}")


GENERATORS: Final[dict[str, Callable[[Random], Example]]] = {
    "sum": sum_example,
    "difference": difference_example,
    "sort": sort_example,
    "reverse": reverse_example,
    "extract": extract_example,
}


def draws(task: str, split: Split, rng: Random) -> Iterator[Example]:
    """Endless examples of one split."""
    generate = GENERATORS[task]
    while True:
        example = generate(rng)
        if example.split == split:
            yield example


def held_out(task: str, split: Split, count: int, seed: int) -> list[Example]:
    """The first `count` distinct prompts of a held-out split, the same in every program here."""
    distinct: dict[str, Example] = {}
    for example in draws(task, split, Random(f"{seed}/{split}/{task}")):
        distinct.setdefault(example.prompt, example)
        if len(distinct) == count:
            return list(distinct.values())
    raise AssertionError("draws() never ends")
