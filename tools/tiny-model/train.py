"""Trains the model from nothing and writes it, with its tokenizer, into a folder.

    python3 tools/tiny-model/train.py --out models/tiny

Everything is drawn from the seed. The learning rate follows the step count, not the clock, so a
run can be repeated; `--minutes` only bounds a run that turns out slow, and then says so.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM
from transformers.utils.logging import disable_progress_bar

from dataset import ROW_LENGTHS, Rows, assert_disjoint, draw_held_out, tokenize, training_pool
from model import build_model, save_model
from tokenizer import save_tokenizer

WEIGHT_DECAY = 0.05
WARM_UP_STEPS = 300
GRADIENT_NORM = 1.0
VALIDATION_COUNT = 500
TEST_COUNT = 2000


@dataclass(frozen=True)
class DeviceRows:
    """Rows moved to the training device."""

    ids: Tensor
    starts: Tensor
    ends: Tensor

    @staticmethod
    def of(rows: Rows, device: torch.device) -> DeviceRows:
        parts = (torch.from_numpy(part).to(device) for part in (rows.ids, rows.starts, rows.ends))
        return DeviceRows(*parts)

    def pick(self, picked: Tensor) -> DeviceRows:
        return DeviceRows(self.ids[picked], self.starts[picked], self.ends[picked])

    def answer_mask(self) -> Tensor:
        """True at each column whose next token belongs to the answer or ends it."""
        column = torch.arange(1, self.ids.shape[1], device=self.ids.device)
        return (column >= self.starts[:, None]) & (column < self.ends[:, None])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model into")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--batch", type=int, default=2048, help="sequences a step")
    parser.add_argument("--pool", type=int, default=3_000_000, help="training examples to draw")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--minutes", type=float, default=60, help="stop early after this long")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--eager", action="store_true", help="do not compile the model")
    return parser.parse_args()


def loss_sum(model: Qwen3ForCausalLM, embedded: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy summed over the answer tokens.

    The embedding is looked up by the caller, outside of the compiled code: compiled, its
    deterministic backward pass adds up the many padding rows one by one.
    """
    logits = model(inputs_embeds=embedded, use_cache=False).logits
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
    )
    return torch.where(mask.flatten(), losses, 0.0).sum()


@torch.no_grad()
def answered(model: Qwen3ForCausalLM, rows: DeviceRows) -> tuple[int, int]:
    """How many rows the model answers exactly.

    Greedy decoding yields the right answer, end token included, if and only if every token of it
    is the most likely one after the right tokens before it; one forward pass tells that.
    """
    ids = rows.ids.long()
    hits = model(input_ids=ids[:, :-1], use_cache=False).logits.argmax(-1) == ids[:, 1:]
    return int((hits | ~rows.answer_mask()).all(-1).sum()), len(ids)


def validate(model: Qwen3ForCausalLM, sets: dict[str, list[DeviceRows]]) -> str:
    shares = []
    for task, parts in sets.items():
        counts = [answered(model, rows) for rows in parts if len(rows.ids)]
        shares.append(
            f"{task} {sum(hit for hit, _ in counts) / sum(all_ for _, all_ in counts):.4f}"
        )
    return ", ".join(shares)


def learning_rate_factor(step: int, steps: int) -> float:
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)))


def main() -> None:
    arguments = parse_arguments()
    began = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_tf32 = True
    disable_progress_bar()

    def report(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)

    tokenizer = save_tokenizer(arguments.out)
    with ProcessPoolExecutor(arguments.workers) as executor:
        validation = draw_held_out(executor, "validate", VALIDATION_COUNT, arguments.seed)
        test = draw_held_out(executor, "test", TEST_COUNT, arguments.seed)
        pool, train_keys = training_pool(executor, arguments.pool, arguments.seed)
    assert_disjoint(train_keys, validation, test)
    sizes = {length: len(pool[length]) for length in ROW_LENGTHS}
    report(f"pool: rows by length {sizes}, {len(train_keys)} distinct contents; no overlap")

    batches = {
        length: max(1, round(arguments.batch * size / sum(sizes.values())))
        for length, size in sizes.items()
    }
    resident = {length: DeviceRows.of(rows, device) for length, rows in pool.items()}
    validation_rows = {
        task: [DeviceRows.of(rows, device) for rows in tokenize(examples, tokenizer).values()]
        for task, examples in validation.items()
    }
    picks = torch.Generator(device).manual_seed(arguments.seed)

    model = build_model(arguments.seed).to(device)
    compute_loss = loss_sum if arguments.eager else torch.compile(loss_sum, dynamic=False)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=arguments.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=WEIGHT_DECAY,
        fused=device.type == "cuda",
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, arguments.steps)
    )
    report(f"{sum(p.numel() for p in model.parameters())} parameters, batch {batches}, {device}")

    half_precision = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    running = torch.zeros((), device=device)
    every = max(1, arguments.steps // 20)
    for step in range(1, arguments.steps + 1):
        picked = [
            rows.pick(
                torch.randint(len(rows.ids), (batches[length],), device=device, generator=picks)
            )
            for length, rows in resident.items()
        ]
        masks = [rows.answer_mask() for rows in picked]
        tokens = sum((mask.sum() for mask in masks), start=torch.zeros((), device=device))
        for rows, mask in zip(picked, masks, strict=True):
            ids = rows.ids.long()
            embedded = model.get_input_embeddings()(ids[:, :-1])
            with half_precision:
                loss = compute_loss(model, embedded, ids, mask) / tokens
            loss.backward()
            running += loss.detach()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)

        late = time.monotonic() - began > 60 * arguments.minutes
        if step % every == 0 or step == arguments.steps or late:
            mean = running.item() / (every if step % every == 0 else max(1, step % every))
            running.zero_()
            with half_precision:
                accuracy = validate(model, validation_rows)
            report(f"step {step}: loss {mean:.5f}; validate: {accuracy}")
            save_model(model, arguments.out)
        if late:
            report(f"stopped after {step} of {arguments.steps} steps: out of time")
            break
    report(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
