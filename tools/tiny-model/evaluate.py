"""Measures a saved model on the held-out test split: greedy decoding, exact answers.

    python3 tools/tiny-model/evaluate.py --model models/tiny

An answer counts when the generated tokens decode to it exactly and the right end token follows.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from prompts import FORMS, Form, terminator
from tasks import TASKS, Example, held_out

MAX_NEW_TOKENS = 48


def prompt_text(example: Example, form: Form, tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat form goes through the template that ships with the model."""
    if form == "completion":
        return example.prompt
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": example.prompt}], tokenize=False, add_generation_prompt=True
    )
    if not isinstance(text, str):
        raise TypeError("the chat template rendered no text")
    return text


@torch.inference_mode()
def generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], batch: int
) -> list[list[int]]:
    """Greedy answers as token ids, up to and with the first end token."""
    ends = set(model.generation_config.eos_token_id)
    answers: list[list[int]] = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(
            prompts[start : start + batch], return_tensors="pt", padding=True, padding_side="left"
        ).to(model.device)
        output = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS)
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            stop = next((i for i, token in enumerate(row) if token in ends), len(row) - 1)
            answers.append(row[: stop + 1])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy on the held-out test split")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000, help="items a task")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--mistakes", type=int, default=3, help="wrong answers to show a task")
    parser.add_argument("--json", type=Path, help="also write the counts to this file")
    arguments = parser.parse_args()

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=getattr(torch, arguments.dtype)
    ).to(device)

    counts: dict[str, dict[str, int]] = {}
    for task in TASKS:
        examples = held_out(task, "test", arguments.count, arguments.seed)
        counts[task] = {}
        for form in FORMS:
            prompts = [prompt_text(example, form, tokenizer) for example in examples]
            wanted = [example.answer + terminator(form) for example in examples]
            ids = generate(model, tokenizer, prompts, arguments.batch)
            got = [tokenizer.decode(row) for row in ids]
            wrong = [
                (example.prompt, answer)
                for example, answer, want in zip(examples, got, wanted, strict=True)
                if answer != want
            ]
            counts[task][form] = len(examples) - len(wrong)
            share = counts[task][form] / len(examples)
            print(
                f"{task:10} {form:10} {counts[task][form]}/{len(examples)} {share:.2%}", flush=True
            )
            for prompt, answer in wrong[: arguments.mistakes]:
                print(f"    {prompt!r} -> {answer!r}", flush=True)
    if arguments.json:
        result = {
            "items": arguments.count,
            "dtype": arguments.dtype,
            "device": device,
            "right": counts,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
