"""The model's shape and how it is written down."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from tokenizer import END_OF_TEXT, MAX_LENGTH, MESSAGE_END, VOCABULARY_SIZE, build_tokenizer


def build_model(seed: int) -> Qwen3ForCausalLM:
    """An untrained model: 3.9 million weights, under 8 MB in bfloat16."""
    tokenizer = build_tokenizer()
    config = Qwen3Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=256,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=MAX_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        eos_token_id=tokenizer.token_to_id(MESSAGE_END),
        pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
    )
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config)


def save_model(model: Qwen3ForCausalLM, folder: Path) -> None:
    """Writes bfloat16 weights, config.json and generation_config.json; `model` stays as it is."""
    tokenizer = build_tokenizer()
    rounded = build_model(seed=0)
    rounded.load_state_dict(model.state_dict())
    rounded.to(torch.bfloat16)
    rounded.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[tokenizer.token_to_id(MESSAGE_END), tokenizer.token_to_id(END_OF_TEXT)],
        pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
    )
    rounded.save_pretrained(folder)
