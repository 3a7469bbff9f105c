"""Writes the example task set: requests in the OpenAI batch input format, and their answers.

    python3 tools/tiny-model/make_tasks.py --out examples/tasks

The tasks come from the test split, so the model has not been trained on any of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from prompts import FORMS, Form
from tasks import TASKS, Example, held_out

PER_TASK: Final = 48
MAX_TOKENS: Final = 48


def request(custom_id: str, example: Example, form: Form) -> dict[str, object]:
    url, question = {
        "completion": ("/v1/completions", {"prompt": example.prompt}),
        "chat": (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": example.prompt}]},
        ),
    }[form]
    body = {"model": "tiny", **question, "max_tokens": MAX_TOKENS, "temperature": 0}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write requests.jsonl and expected.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    examples = {task: held_out(task, "test", PER_TASK, arguments.seed) for task in TASKS}
    requests: list[dict[str, object]] = []
    expected: list[dict[str, object]] = []
    # Task after task in turn, so that any stretch of the file mixes short and long answers.
    for index in range(PER_TASK):
        for task in TASKS:
            example = examples[task][index]
            custom_id = f"{task}-{index + 1:03}"
            requests.append(request(custom_id, example, FORMS[index % len(FORMS)]))
            expected.append({"custom_id": custom_id, "task": task, "answer": example.answer})
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_lines(arguments.out / "requests.jsonl", requests)
    write_lines(arguments.out / "expected.jsonl", expected)


if __name__ == "__main__":
    main()
