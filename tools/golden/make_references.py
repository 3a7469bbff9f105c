"""A second reference for the models in test/fixtures/golden: plain float64 numpy.

The fixtures' own references rotate by inverse frequencies rounded to bfloat16
(docs/decisions/0012-golden-references.md). This computes the same cases with frequencies in
float32, as the models are trained, and writes `float32-rotary.safetensors` beside each model:
`logits.<case>` [prompt length, vocab] and `logprob.<case>` [generated tokens] of the reference's
own greedy tokens, teacher-forced. It prints how far the fixtures' references are from these, and
from the same arithmetic with frequencies rounded to bfloat16.

    python3 tools/golden/make_references.py test/fixtures/golden
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file's BF16 and F32 tensors, as float64."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            words = np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16
            values = words.view(np.float32)
        else:
            values = np.frombuffer(data[begin:end], "<f4")
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, offset = {}, 0
    for name, values in tensors.items():
        end = offset + 4 * values.size
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(values.astype("<f4").tobytes() for values in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def round_to_bf16(values: np.ndarray) -> np.ndarray:
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def inverse_frequencies(config: dict, head_dim: int) -> np.ndarray:
    rope = config["rope_parameters"]
    frequencies = rope["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
    if rope["rope_type"] == "llama3":
        length = rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = length * frequencies / (2 * np.pi)
        blend = np.clip((turns - low) / (high - low), 0, 1)
        frequencies = (1 - blend) * frequencies / rope["factor"] + blend * frequencies
    return frequencies.astype(np.float32)


class Model:
    def __init__(self, folder: Path, rounded: bool) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights: dict[str, np.ndarray] = {}
        for path in sorted(folder.glob("model*.safetensors")):
            self.weights |= read_tensors(path)
        config = self.config
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        frequencies = inverse_frequencies(config, self.head_dim)
        self.frequencies = round_to_bf16(frequencies) if rounded else frequencies

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scale = np.sqrt((x**2).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return x / scale * self.weights[name]

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)

    def rotate(self, x: np.ndarray) -> np.ndarray:
        angles = np.arange(len(x), dtype=np.float32)[:, None] * self.frequencies
        cos, sin = np.cos(angles)[:, None].astype(float), np.sin(angles)[:, None].astype(float)
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def attend(self, x: np.ndarray, name: str) -> np.ndarray:
        rows, dim = len(x), self.head_dim
        q = self.linear(x, f"{name}.q_proj").reshape(rows, self.heads, dim)
        k = self.linear(x, f"{name}.k_proj").reshape(rows, self.kv_heads, dim)
        v = self.linear(x, f"{name}.v_proj").reshape(rows, self.kv_heads, dim)
        if f"{name}.q_norm.weight" in self.weights:
            q, k = self.norm(q, f"{name}.q_norm.weight"), self.norm(k, f"{name}.k_norm.weight")
        group = self.heads // self.kv_heads
        q, k, v = self.rotate(q), self.rotate(k).repeat(group, 1), v.repeat(group, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
        distance = np.arange(rows)[:, None] - np.arange(rows)
        hidden = distance < 0
        if self.config["model_type"] == "mistral" and self.config["sliding_window"]:
            hidden |= distance >= self.config["sliding_window"]
        scores[:, hidden] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(rows, -1)
        return self.linear(mixed, f"{name}.o_proj")

    def logits(self, tokens: list[int]) -> np.ndarray:
        table = self.weights["model.embed_tokens.weight"]
        x = table[tokens]
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            x = x + self.attend(self.norm(x, f"{name}.input_layernorm.weight"), f"{name}.self_attn")
            y = self.norm(x, f"{name}.post_attention_layernorm.weight")
            gate = self.linear(y, f"{name}.mlp.gate_proj")
            inner = gate / (1 + np.exp(-gate)) * self.linear(y, f"{name}.mlp.up_proj")
            x = x + self.linear(inner, f"{name}.mlp.down_proj")
        head = self.weights.get("lm_head.weight", table)
        return self.norm(x, "model.norm.weight") @ head.T


def main() -> None:
    for folder in sorted(path.parent for path in Path(sys.argv[1]).glob("*/config.json")):
        given = read_tensors(folder / "reference.safetensors")
        exact, rounded = Model(folder, rounded=False), Model(folder, rounded=True)
        tensors: dict[str, np.ndarray] = {}
        errors = {"float32": 0.0, "bfloat16": 0.0}
        cases = json.loads((folder / "reference.json").read_text())["cases"]
        for index, case in enumerate(cases):
            prompt, greedy = case["prompt"], case["greedy"]
            logits = exact.logits(prompt + greedy[:-1])
            steps = logits[len(prompt) - 1 :]
            top = steps.max(-1, keepdims=True)
            logs = steps - top - np.log(np.exp(steps - top).sum(-1, keepdims=True))
            tensors[f"logits.{index}"] = logits[: len(prompt)]
            tensors[f"logprob.{index}"] = logs[np.arange(len(greedy)), greedy]
            for name, ours in ("float32", tensors[f"logits.{index}"]), ("bfloat16", rounded.logits(prompt)):
                error = np.abs(ours - given[f"logits.{index}"]).max()
                errors[name] = max(errors[name], float(error))
        write_tensors(folder / "float32-rotary.safetensors", tensors)
        print(folder.name, {name: f"{error:.1e}" for name, error in errors.items()})


if __name__ == "__main__":
    main()
