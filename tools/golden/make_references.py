"""Makes the golden models of test/fixtures/golden that families need beside the first five: small
random weights in bfloat16, and what transformers computes of them in float32.

    python3 tools/golden/make_references.py test/fixtures/golden [name ...]

Needs torch and transformers 5.18. The format is described in test/fixtures/golden/README.md.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

PROMPT_LENGTHS = (1, 9, 50)
GREEDY_TOKENS = 40

COMMON = dict(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=64,
    max_position_embeddings=512,
    rms_norm_eps=1e-6,
    initializer_range=0.02,
    bos_token_id=2,
    eos_token_id=1,
    pad_token_id=0,
)

MODELS = {
    # Norms on both sides, weights as distances from 1, two layer types with rotations of their own.
    "gemma3": dict(
        COMMON,
        architectures=["Gemma3ForCausalLM"],
        model_type="gemma3_text",
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=24,
        hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=20,
        sliding_window=20,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_theta=1000000.0,
        rope_local_base_freq=10000.0,
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
        attention_bias=False,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        torch_dtype="bfloat16",
    ),
    # Fused projections, three quarters of each head rotated, factors for each pair.
    "phi3": dict(
        COMMON,
        architectures=["Phi3ForCausalLM"],
        model_type="phi3",
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        hidden_act="silu",
        partial_rotary_factor=0.75,
        original_max_position_embeddings=256,
        rope_theta=10000.0,
        rope_scaling={
            "type": "longrope",
            "short_factor": [1.0, 1.05, 1.2, 1.4, 1.7, 2.0],
            "long_factor": [1.0, 1.5, 2.5, 4.0, 8.0, 16.0],
        },
        sliding_window=None,
        attention_bias=False,
        tie_word_embeddings=True,
        torch_dtype="bfloat16",
    ),
}


def randomize(model, seed):
    """Weights that keep activations near 1 and make every part count."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            values = torch.randn(weight.shape, generator=random)
            if weight.ndim >= 2:
                values *= weight.shape[-1] ** -0.5 * (1.5 if "embed" in name else 1)
            else:
                values = 0.2 * values + (0 if "gemma3" in model.config.model_type else 1)
            weight.copy_(values.bfloat16().to(weight.dtype))


def case(model, prompt):
    ids = list(prompt)
    logits = model(torch.tensor([ids])).logits[0]
    greedy, margin, logprob = [], [], []
    last = logits[-1]
    for _ in range(GREEDY_TOKENS):
        top = torch.topk(last, 2)
        token = int(top.indices[0])
        greedy.append(token)
        margin.append(round(float(top.values[0] - top.values[1]), 5))
        logprob.append(round(float(torch.log_softmax(last.double(), -1)[token]), 5))
        ids.append(token)
        last = model(torch.tensor([ids])).logits[0, -1]
    return dict(prompt=prompt, greedy=greedy, margin=margin, logprob=logprob), logits


def make(folder, name, seed):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(MODELS[name], indent=1) + "\n")
    config = transformers.AutoConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    model = getattr(transformers, MODELS[name]["architectures"][0])(config).float().eval()
    randomize(model, seed)
    model.tie_weights()
    tied = config.tie_word_embeddings
    weights = {
        key: value.bfloat16().contiguous().clone()
        for key, value in model.state_dict().items()
        if not (tied and key == "lm_head.weight")
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    random = torch.Generator().manual_seed(seed + 1)
    cases, tensors = [], {}
    with torch.no_grad():
        for length in PROMPT_LENGTHS:
            prompt = torch.randint(3, config.vocab_size, (length,), generator=random).tolist()
            one, logits = case(model, prompt)
            tensors[f"logits.{len(cases)}"] = logits.float().contiguous()
            cases.append(one)
    save_file(tensors, folder / "reference.safetensors")
    note = "transformers %s, float32 arithmetic on the bf16 weights" % transformers.__version__
    (folder / "reference.json").write_text(json.dumps(dict(note=note, cases=cases)) + "\n")


root = pathlib.Path(sys.argv[1])
for place, name in enumerate(MODELS):
    if len(sys.argv) == 2 or name in sys.argv[2:]:
        make(root / name, name, 100 + place)
        print(name, "made")
