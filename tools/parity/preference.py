#!/usr/bin/env python3
"""Fixtures of the preference losses, by PyTorch in float64: tests/fixtures/preference.

    python3 tools/parity/preference.py

Made with torch 2.15.0, diffusers 0.42.1, numpy 2.4.6. Each loss is the published expression, winner
first, on errors of epsilon: a prediction of v becomes one of epsilon before anything is compared,
which is what our scales have to come to. Soft labels are the mean over which picture wins.
tests/preference/test_preference_parity.c builds the same cases from the same inputs (inputs.py).

losses.txt holds for each case KIND/MODEL/VARIANT: the loss, each pair's loss, its logit (above 0
where picture 0 is preferred), the mean squared errors of policy and reference in the model's own
space, and the gradient toward the policy's prediction; and each schedule's alphas_cumprod at our
timesteps, with the number of those above 0.
"""
import os

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

import inputs

PAIRS, SHAPE = 3, (2, 3, 4)
TIMESTEPS = [7, 420, 880]
LABELS = {"hard": [1.0, 0.0, 1.0], "soft": [0.7, 0.25, 0.5]}
WEIGHTS = [0.5, 0.2, 0.3]
BETA, SMOOTHING, ALPHA = 5000.0, 0.1, 8.0
T = 1000
# Our pictures' errors lie far apart: with T for its factor, MaPO's sigmoid would be saturated.
MAPO_BETA, MAPO_SNR, MAPO_T = 0.1, 0.5, 4


def schedule(zero_snr):
    return DDPMScheduler(num_train_timesteps=T, beta_start=0.00085, beta_end=0.012,
                         beta_schedule="scaled_linear", rescale_betas_zero_snr=zero_snr)


def doubles(name, shape, scale=1.0):
    """Inputs are f32 on both sides; PyTorch computes on in double."""
    return torch.tensor(inputs.fill(f"preference/{name}", shape, scale).astype(np.float64))


class Batch:
    """Two pictures of each pair, noised by the pair's own noise at its own timestep."""

    def __init__(self, model, zero_snr):
        a = schedule(zero_snr).alphas_cumprod.double()[TIMESTEPS]
        a = a.repeat_interleave(2).reshape(-1, 1, 1, 1)
        original = doubles("original", (2 * PAIRS, *SHAPE))
        noise = doubles("noise", (PAIRS, *SHAPE)).repeat_interleave(2, 0)
        self.x = a.sqrt() * original + (1 - a).sqrt() * noise
        self.a, self.noise, self.model = a, noise, model
        self.target = noise if model == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * original
        policy = inputs.fill("preference/policy", (2 * PAIRS, *SHAPE))
        apart = inputs.fill("preference/apart", (2 * PAIRS, *SHAPE), 0.002)
        self.policy = torch.tensor(policy.astype(np.float64), requires_grad=True)
        self.reference = torch.tensor((policy + apart).astype(np.float64))

    def epsilon(self, prediction):
        if self.model == "epsilon":
            return prediction
        return self.a.sqrt() * prediction + (1 - self.a).sqrt() * self.x

    def own_error(self, prediction):
        return (prediction - self.target).pow(2).mean((1, 2, 3))

    def error(self, prediction):
        return (self.epsilon(prediction) - self.noise).pow(2).mean((1, 2, 3))


def weight_of(zero_snr, gamma, model, own_space):
    """Min-SNR's weight of each picture, as diffusers' scripts compute it."""
    if not gamma:
        return torch.ones(2 * PAIRS, dtype=torch.float64)
    s = schedule(zero_snr)
    s.alphas_cumprod = s.alphas_cumprod.double()
    snr = compute_snr(s, torch.tensor(TIMESTEPS).repeat_interleave(2))
    capped = torch.minimum(snr, torch.full_like(snr, gamma))
    return capped / (snr + 1) if own_space and model == "v" else capped / snr


# ---- losses: (winner's, loser's errors of the policy, of the reference) -> loss, logit ----


def dpo_logit(mw, ml, rw, rl):
    model_diff, ref_diff = mw - ml, rw - rl
    return -0.5 * BETA * (model_diff - ref_diff)


def dpo(mw, ml, rw, rl):
    inside = dpo_logit(mw, ml, rw, rl)
    return -F.logsigmoid(inside), inside


def conservative(mw, ml, rw, rl):
    inside = dpo_logit(mw, ml, rw, rl)
    return -(1 - SMOOTHING) * F.logsigmoid(inside) - SMOOTHING * F.logsigmoid(-inside), inside


def ipo(mw, ml, rw, rl):
    h = -0.5 * ((mw - ml) - (rw - rl))
    return BETA**2 * (h - 1 / (2 * BETA)) ** 2, BETA * h


def poly_dpo(mw, ml, rw, rl):
    inside = dpo_logit(mw, ml, rw, rl)
    return -F.logsigmoid(inside) + ALPHA * (1 - torch.sigmoid(inside)), inside


def sft(mw, ml, rw, rl):
    return mw, torch.zeros_like(mw)


def mapo(mw, ml, rw, rl):
    w, l = MAPO_SNR * mw, MAPO_SNR * ml
    log_odds = w / (torch.exp(w) - 1) - l / (torch.exp(l) - 1)
    return mw - MAPO_BETA * F.logsigmoid(log_odds * MAPO_T), log_odds * MAPO_T


LOSSES = {"dpo": dpo, "cdpo": conservative, "ipo": ipo, "poly-dpo": poly_dpo, "sft": sft, "mapo": mapo}


def run(out, name, kind, model, zero_snr, labels, gamma):
    b = Batch(model, zero_snr)
    own = kind == "sft"
    weight = weight_of(zero_snr, gamma, model, own)
    error = b.own_error if own else b.error
    m, r = weight * error(b.policy), weight * error(b.reference)
    y = torch.tensor(np.float32(labels).astype(np.float64))
    if_0, z = LOSSES[kind](m[0::2], m[1::2], r[0::2], r[1::2])
    if_1, _ = LOSSES[kind](m[1::2], m[0::2], r[1::2], r[0::2])
    pair_loss = y * if_0 + (1 - y) * if_1
    loss = (pair_loss * torch.tensor(np.float32(WEIGHTS).astype(np.float64))).sum()
    loss.backward()
    out.add(f"{name}/loss", loss.detach())
    out.add(f"{name}/pair_loss", pair_loss.detach())
    out.add(f"{name}/logit", z.detach())
    out.add(f"{name}/policy_error", b.own_error(b.policy).detach())
    out.add(f"{name}/reference_error", b.own_error(b.reference))
    out.add(f"{name}/gradient", b.policy.grad)


def main():
    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, numpy {np.__version__}"
    out = inputs.Fixture(os.path.join(inputs.FIXTURES, "preference", "losses"),
                         ["tools/parity/preference.py, in float64", versions])
    for zero_snr in (False, True):
        alphas = schedule(zero_snr).alphas_cumprod
        which = "zero" if zero_snr else "plain"
        out.add(f"alphas/{which}", alphas[TIMESTEPS])
        out.add(f"usable/{which}", [(alphas > 0).sum()])
    for kind in LOSSES:
        for model in ("epsilon", "v"):
            for zero_snr in (False, True):
                for label, labels in LABELS.items():
                    for gamma in (0.0, 5.0):
                        if zero_snr and gamma and label == "hard":
                            continue  # nothing that the others do not show
                        name = "/".join((kind, model, "zero" if zero_snr else "plain", label,
                                         "min-snr" if gamma else "all-one"))
                        run(out, name, kind, model, zero_snr, labels, gamma)
    out.write()


if __name__ == "__main__":
    main()
