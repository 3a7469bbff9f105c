"""Writes what the engine's tests compare with: greedy answers, logits and tokenizer round trips.

    python3 tools/tiny-model/make_reference.py --model models/tiny \\
        --out test/fixtures/tiny-reference.json

The arithmetic is float32 on the bfloat16 weights as saved. The model is so sure of its answers
that a faulty kernel could still produce them, so the largest logits after each prompt are there
to compare as well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evaluate import generate, prompt_text
from prompts import FORMS
from tasks import TASKS, held_out

# Past the ones that the example task set takes.
FIRST_ITEM: Final = 48
PER_TASK: Final = 4
LARGEST_LOGITS: Final = 8

TEXTS: Final[tuple[str, ...]] = (
    "vertical\x0btab, form\x0cfeed",
    " ",
    "\n",
    "\n\n\n",
    "\r\n",
    "\t",
    "\t\tindented\n\t  mixed \n",
    "  two leading and two trailing spaces  ",
    "plain words from the people who live in the city",
    "CamelCase snake_case kebab-case and it's, they'll, WE'VE",
    "01234567890123456789012345678901234567890123456789",
    "-273.15 1,000,000 3.14159e-10 0x7f ½ ٣٤٥ 四二",
    '{"name":"Zoë","age":34,"city":"Łódź"}',
    "naïve façade, Ærøskøbing, Đặng Thị, ǅ",
    "e\u0301 n\u0303 a\u030a\u0323 (combining marks, not composed)",
    "Z\u0351\u036b\u0343a\u0363\u034cl\u0321g\u0335o\u0322",
    "Привет, мир! Καλημέρα κόσμε.",
    "日本語の文章、中文字符，한국어 문장",
    "𠮷野家 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🀄",
    "العربية مع أرقام ١٢٣ ثم English",
    "שלום \u202emixed\u202c עולם",
    "हिन्दी में क्षत्रिय, ไทยไม่มีวรรค, မြန်မာ",
    "👩‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇵🇹🇯🇵 1️⃣",
    "❤️ against ❤ and ☺︎",
    "zero\u200bwidth\u200djoin\u2060er\ufeffmark",
    "nul\x00 bell\x07 escape\x1b[0m delete\x7f next line\x85",
    "no-break\u00a0space, thin\u2009space, ideographic\u3000space, line\u2028separator",
    "private \ue000 and noncharacter \uffff, last \U0010ffff",
    "replacement \ufffd stays",
    "<|not_special|> <im_end> a|b <| |>",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the reference for the engine's tests")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)

    prompts: list[dict[str, object]] = []
    for task in TASKS:
        examples = held_out(task, "test", FIRST_ITEM + PER_TASK, arguments.seed)[FIRST_ITEM:]
        for index, example in enumerate(examples):
            form = FORMS[index % len(FORMS)]
            text = prompt_text(example, form, tokenizer)
            ids = tokenizer.encode(text)
            [answer_ids] = generate(model, tokenizer, [text], batch=1)
            with torch.inference_mode():
                largest = model(torch.tensor([ids])).logits[0, -1].topk(LARGEST_LOGITS)
            prompts.append(
                {
                    "task": task,
                    "form": form,
                    "content": example.prompt,
                    "prompt": text,
                    "promptIds": ids,
                    "answerIds": answer_ids,
                    "answer": tokenizer.decode(answer_ids, skip_special_tokens=True),
                    "logitIds": largest.indices.tolist(),
                    "logits": [round(value, 4) for value in largest.values.tolist()],
                }
            )
            if prompts[-1]["answer"] != example.answer:
                raise AssertionError(f"the model gets {example.prompt!r} wrong")

    texts: list[dict[str, object]] = []
    for text in TEXTS:
        ids = tokenizer.encode(text)
        texts.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
        if texts[-1]["decoded"] != text:
            raise AssertionError(f"{text!r} does not survive the tokenizer")

    reference = {"prompts": prompts, "texts": texts}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
