"""Draws the training pool in worker processes, tokenized and sorted into rows of few lengths."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice, repeat
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from prompts import FORMS, render, terminator
from tasks import TASKS, Example, Split, draws, held_out
from tokenizer import build_tokenizer

# Rows are padded to the next of these lengths, so every batch has one of three shapes.
ROW_LENGTHS: Final[tuple[int, ...]] = (32, 72, 128)
SHARD_SIZE: Final = 20_000
SHARES: Final[dict[str, float]] = {
    "sum": 0.22,
    "difference": 0.26,
    "sort": 0.2,
    "reverse": 0.2,
    "extract": 0.12,
}


@dataclass(frozen=True)
class Rows:
    """Token rows of one length. Columns `starts` to `ends` (exclusive) of a row are its answer."""

    ids: NDArray[np.int16]
    starts: NDArray[np.int16]
    ends: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Shard:
    """What one worker draws: rows by length, and the keys of the examples in them."""

    rows: dict[int, Rows]
    keys: NDArray[np.uint64]


def tokenize(examples: list[Example], tokenizer: Tokenizer) -> dict[int, Rows]:
    """Puts every second example as chat, the others as raw completion."""
    forms = [FORMS[index % len(FORMS)] for index in range(len(examples))]
    prompts = tokenizer.encode_batch(
        [render(example.prompt, form) for example, form in zip(examples, forms, strict=True)]
    )
    answers = tokenizer.encode_batch(
        [example.answer + terminator(form) for example, form in zip(examples, forms, strict=True)]
    )
    by_length: dict[int, list[tuple[list[int], int]]] = {length: [] for length in ROW_LENGTHS}
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = prompt.ids + answer.ids
        fitting = next(length for length in ROW_LENGTHS if len(ids) <= length)
        by_length[fitting].append((ids, len(prompt.ids)))

    rows: dict[int, Rows] = {}
    for length, entries in by_length.items():
        padded = np.zeros((len(entries), length), np.int16)
        for row, (ids, _) in enumerate(entries):
            padded[row, : len(ids)] = ids
        starts = np.array([start for _, start in entries], np.int16)
        ends = np.array([len(ids) for ids, _ in entries], np.int16)
        rows[length] = Rows(padded, starts, ends)
    return rows


def draw_shard(task: str, index: int, seed: int) -> Shard:
    """One shard of training examples; the same one whatever worker draws it."""
    examples = list(
        islice(draws(task, "train", Random(f"{seed}/train/{task}/{index}")), SHARD_SIZE)
    )
    keys = np.array([example.key for example in examples], np.uint64)
    return Shard(tokenize(examples, build_tokenizer()), keys)


def training_pool(
    executor: Executor, total: int, seed: int
) -> tuple[dict[int, Rows], NDArray[np.uint64]]:
    """About `total` training examples by row length, and the sorted distinct keys among them."""
    jobs = [
        (task, index)
        for task in TASKS
        for index in range(max(1, round(total * SHARES[task] / SHARD_SIZE)))
    ]
    shards = list(executor.map(draw_shard, *zip(*jobs, strict=True), [seed] * len(jobs)))
    pool = {
        length: Rows(
            np.concatenate([shard.rows[length].ids for shard in shards]),
            np.concatenate([shard.rows[length].starts for shard in shards]),
            np.concatenate([shard.rows[length].ends for shard in shards]),
        )
        for length in ROW_LENGTHS
    }
    return pool, np.unique(np.concatenate([shard.keys for shard in shards]))


def draw_held_out(
    executor: Executor, split: Split, count: int, seed: int
) -> dict[str, list[Example]]:
    """`count` examples of each task from a held-out split."""
    drawn = executor.map(held_out, TASKS, repeat(split), repeat(count), repeat(seed))
    return dict(zip(TASKS, drawn, strict=True))


def assert_disjoint(
    train_keys: NDArray[np.uint64],
    validation: dict[str, list[Example]],
    test: dict[str, list[Example]],
) -> None:
    """Checks on what was drawn that no content is in two sets, as the split rule promises."""
    validation_keys, test_keys = (
        np.array([example.key for examples in drawn.values() for example in examples], np.uint64)
        for drawn in (validation, test)
    )
    for one, other in (
        (train_keys, validation_keys),
        (train_keys, test_keys),
        (validation_keys, test_keys),
    ):
        if np.intersect1d(one, other).size:
            raise AssertionError("two of the train, validate and test sets overlap")
