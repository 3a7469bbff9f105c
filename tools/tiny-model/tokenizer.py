"""Builds the model's tokenizer: byte-level BPE whose merges leave the tasks at character level.

The merges are laid out by rule instead of being learned. A learned merge such as `er` would turn
up inside the words to reverse, and then spelling, not reversing, would be the hard part. Here a
merge either belongs to a word that follows a space (` lives`) or joins punctuation (`":"`), so the
letters of a word, every digit and every byte of other text stay tokens of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from vocabulary import TOKEN_WORDS

END_OF_TEXT: Final = "<|endoftext|>"
MESSAGE_START: Final = "<|im_start|>"
MESSAGE_END: Final = "<|im_end|>"

VOCABULARY_SIZE: Final = 512
MAX_LENGTH: Final = 512

# Words with the preceding sign or space, single digits, runs of signs, line ends, spaces.
PIECES: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

JOINED_SIGNS: Final = (
    '{"',
    '":"',
    '","',
    '":',
    ',"',
    '"}',
    " =",
    " (",
    "):",
    ");",
    "...",
    "--",
    "//",
    "==",
    "()",
)
JOINED_SPACES: Final = ("  ", "    ", "        ", "\n\n")
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE, by byte value."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)]


def merge_chain(text: str, symbols: list[str]) -> Iterator[tuple[str, str]]:
    """The merges that build `text` from its bytes, left to right."""
    letters = [symbols[byte] for byte in text.encode()]
    for end in range(1, len(letters)):
        yield "".join(letters[:end]), letters[end]


def build_tokenizer() -> Tokenizer:
    symbols = byte_symbols()
    vocabulary = {symbol: byte for byte, symbol in enumerate(symbols)}
    merges: list[tuple[str, str]] = []
    specials = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)
    joined = (*JOINED_SIGNS, *JOINED_SPACES, *(f" {word}" for word in TOKEN_WORDS))
    for text in joined:
        for left, right in merge_chain(text, symbols):
            if left + right in vocabulary:
                continue
            if len(vocabulary) == VOCABULARY_SIZE - len(specials):
                break
            vocabulary[left + right] = len(vocabulary)
            merges.append((left, right))

    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(PIECES), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in specials]
    )
    if tokenizer.get_vocab_size() != VOCABULARY_SIZE:
        raise AssertionError(f"{tokenizer.get_vocab_size()} tokens, not {VOCABULARY_SIZE}")
    return tokenizer


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, object]:
    added = {
        str(token_id): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for token_id, token in sorted(tokenizer.get_added_tokens_decoder().items())
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": MESSAGE_END,
        "model_max_length": MAX_LENGTH,
        "pad_token": END_OF_TEXT,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def save_tokenizer(folder: Path) -> Tokenizer:
    """Writes tokenizer.json and tokenizer_config.json into the folder."""
    tokenizer = build_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.dumps(tokenizer_config(tokenizer), indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(config + "\n", encoding="utf-8")
    return tokenizer
