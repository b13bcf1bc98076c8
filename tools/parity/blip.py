#!/usr/bin/env python3
"""The fixture of BLIP's graph, made by the image-reward package: tests/fixtures/blip.

    python tools/parity/blip.py      (image-reward 1.5, transformers 4.30.2: image_reward_package.py)

A small ImageReward with weights and inputs as functions of their names (model_weights.py), computed
in double. For the picture's rows, the text's hidden states, the rewards, and every parameter's
gradient the fixture holds 64 projections and the length. The loss is the sum of all outputs times
random cotangents. tests/parity/test_parity_blip.c builds the same model.
"""
import os

import numpy as np
import torch

import image_reward_package as package
import inputs
import model_weights as weights

CASE, PICTURES, PER_PICTURE, TOKENS, VOCABULARY = "blip", 2, 2, 12, 100
LENGTHS = (12, 2, 7, 11)
SIZES = dict(
    vision=dict(embed_dim=64, depth=3, num_heads=4, img_size=32, patch_size=8),
    text=dict(hidden_size=48, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
              vocab_size=VOCABULARY, max_position_embeddings=20))


def given(name, shape):
    return torch.from_numpy(inputs.fill(f"{CASE}/{name}", shape)).double()


def forward(m):
    pixels = weights.their_layout(inputs.fill(f"{CASE}/pixels", (PICTURES, 32, 32, 3))).double()
    # The package keeps the row of id 0 without a gradient, which is of no consequence to padding.
    ids = 1 + inputs.fill_index(f"{CASE}/ids", (len(LENGTHS), TOKENS), VOCABULARY - 1)
    mask = torch.tensor([[int(i < n) for i in range(TOKENS)] for n in LENGTHS])
    rows = m.blip.visual_encoder(pixels)
    repeated = rows.repeat_interleave(PER_PICTURE, 0)
    last = m.blip.text_encoder(
        torch.from_numpy(ids).long(), attention_mask=mask, encoder_hidden_states=repeated,
        encoder_attention_mask=torch.ones(repeated.shape[:-1], dtype=torch.long),
        return_dict=True).last_hidden_state
    return {"rows": rows, "last": last, "reward": m.mlp(last[:, 0, :])}


def main():
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)  # of the masks that the text encoder makes
    m = weights.fill(package.build(SIZES).double(), CASE)
    outputs = forward(m)
    sum((t * given("d" + n, tuple(t.shape))).sum() for n, t in outputs.items()).backward()
    out = inputs.Fixture(os.path.join(inputs.FIXTURES, "blip", "blip"),
                         [f"tools/parity/blip.py, {package.origin()} in double",
                          "of each tensor: 64 projections, then its length"])
    for name, t in outputs.items():
        size = float(t.detach().square().mean().sqrt())
        assert 0.05 < size < 10, (name, size)
        weights.add_full(out, f"{CASE}/{name}", t.detach().numpy())
    for name, p in m.named_parameters():
        if "vision_proj" not in name and "text_proj" not in name:  # which nothing reads
            weights.add_full(out, f"{CASE}/d{name}", weights.numpy(p.grad))
    out.write()
    print(len(out.tensors), "tensors;", np.round(outputs["reward"].detach().numpy().ravel(), 4))


if __name__ == "__main__":
    main()
