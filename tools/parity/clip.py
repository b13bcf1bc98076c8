#!/usr/bin/env python3
"""Fixtures of the CLIP encoders, made by transformers: tests/fixtures/clip.

    python3 tools/parity/clip.py [--full]      (transformers 5.24.0, PyTorch 2.15.0)

Small models of each family with weights and inputs as functions of their names
(model_weights.py), computed in double. For every output and every parameter's gradient the fixture
holds 64 projections and the length. The loss is the sum of all outputs times random cotangents.
--full instead makes the compact fixture of CLIP-L's text encoder at its real size (some 5 GB).
tests/parity/test_parity_clip.c builds the same models.
"""
import os
import sys

import torch
import transformers
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

import inputs
import model_weights as weights

TOKENS = 77
# As config.json has them. The end of text is `end`; what follows it is `pad`.
TEXT = {
    # quick_gelu, the legacy end-of-text id, padded with the end of text: SD1.5, SDXL's first.
    "text_l": dict(
        config=dict(hidden_size=64, intermediate_size=256, num_hidden_layers=3,
                    num_attention_heads=4, hidden_act="quick_gelu", eos_token_id=2),
        projection=0, pad=199),
    # gelu, head size 16, padded with 0: SD2.1.
    "text_h": dict(
        config=dict(hidden_size=80, intermediate_size=200, num_hidden_layers=4,
                    num_attention_heads=5, hidden_act="gelu", eos_token_id=2),
        projection=0, pad=0),
    # gelu, with projection, the true end-of-text id: SDXL's second.
    "text_g": dict(
        config=dict(hidden_size=96, intermediate_size=384, num_hidden_layers=3,
                    num_attention_heads=6, hidden_act="gelu", eos_token_id=199),
        projection=48, pad=0),
}
# As the real towers: quick_gelu; head size 80; head size 104 with another norm constant.
VISION = {
    "vision_l": dict(hidden_size=64, intermediate_size=256, num_hidden_layers=3,
                     num_attention_heads=4, hidden_act="quick_gelu", image_size=32, patch_size=8,
                     projection_dim=48),
    "vision_h": dict(hidden_size=160, intermediate_size=320, num_hidden_layers=2,
                     num_attention_heads=2, hidden_act="gelu", image_size=42, patch_size=14,
                     projection_dim=64),
    "vision_g": dict(hidden_size=208, intermediate_size=416, num_hidden_layers=2,
                     num_attention_heads=2, hidden_act="gelu", image_size=28, patch_size=14,
                     projection_dim=80, layer_norm_eps=1e-6),
}
VOCABULARY, BATCH = 200, 3
FULL = dict(
    config=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                num_attention_heads=12, hidden_act="quick_gelu", eos_token_id=2),
    projection=0, pad=49407)


def token_ids(case, vocabulary, pad, batch):
    """Sample i ends at position 5 + 30 i, or where the sequence does; its pads follow."""
    ids = inputs.fill_index(f"{case}/ids", (batch, TOKENS), vocabulary - 1).copy()
    for i in range(batch):
        end = min(5 + 30 * i, TOKENS - 1)
        ids[i, end] = vocabulary - 1
        ids[i, end + 1 :] = pad
    return torch.from_numpy(ids).long()


def our_text_name(name):
    """The text tower's own class has lost its prefix in transformers 5.6."""
    return name if name.startswith(("text_model.", "text_projection.")) else "text_model." + name


def gradients(module, outputs, case, our_name):
    given = lambda name, t: torch.from_numpy(inputs.fill(f"{case}/{name}", tuple(t.shape)))
    loss = sum((t * given("d" + name, t).double()).sum() for name, t in outputs.items())
    loss.backward()
    results = {name: t.detach().numpy() for name, t in outputs.items()}
    for name, p in module.named_parameters():
        results["d" + our_name(name)] = weights.numpy(p.grad)
    return results


def run_text(case, spec, vocabulary=VOCABULARY, batch=BATCH):
    config = CLIPTextConfig(vocab_size=vocabulary, projection_dim=spec["projection"] or 512,
                            bos_token_id=0, pad_token_id=1, **spec["config"])
    config._attn_implementation = "sdpa"
    kind = CLIPTextModelWithProjection if spec["projection"] else CLIPTextModel
    m = weights.fill(kind(config).double().eval(), case, our_text_name)
    weights.watch(m, CLIPEncoderLayer)
    out = m(token_ids(case, vocabulary, spec["pad"], batch), output_hidden_states=True)
    outputs = {
        "last": out.last_hidden_state,
        "penultimate": out.hidden_states[-2],
        "pooled": out.text_embeds if spec["projection"] else out.pooler_output,
    }
    if batch == BATCH:  # clip_skip 1 of SD1.5
        tower = m.text_model if spec["projection"] else m
        outputs["skipped"] = tower.final_layer_norm(out.hidden_states[-2])
    return gradients(m, outputs, case, our_text_name)


def run_vision(case, spec):
    config = CLIPVisionConfig(**spec)
    config._attn_implementation = "sdpa"
    m = weights.fill(CLIPVisionModelWithProjection(config).double().eval(), case)
    weights.watch(m, CLIPEncoderLayer)
    size = spec["image_size"]
    pixels = weights.their_layout(inputs.fill(f"{case}/pixels", (2, size, size, 3))).double()
    out = m(pixels)
    outputs = {"embedding": out.image_embeds, "last": out.last_hidden_state}
    return gradients(m, outputs, case, lambda name: name)


def origin(kept):
    return [
        f"tools/parity/clip.py, transformers {transformers.__version__}, "
        f"PyTorch {torch.__version__} in double",
        "of each tensor: " + kept,
    ]


def main():
    torch.set_num_threads(2)
    folder = os.path.join(inputs.FIXTURES, "clip")
    if "--full" in sys.argv[1:]:
        out = inputs.Fixture(os.path.join(folder, "clip_full"),
                             origin("8 projections, its length, 64 entries"))
        for name, values in run_text("text_clip_l", FULL, 49408, 1).items():
            weights.add_compact(out, f"text_clip_l/{name}", values)
        out.write()
        return
    out = inputs.Fixture(os.path.join(folder, "clip"), origin("64 projections, then its length"))
    results = {case: run_text(case, spec) for case, spec in TEXT.items()}
    results.update({case: run_vision(case, spec) for case, spec in VISION.items()})
    for case, tensors in results.items():
        for name, values in tensors.items():
            weights.add_full(out, f"{case}/{name}", values)
        print(case, len(tensors), flush=True)
    out.write()


if __name__ == "__main__":
    main()
