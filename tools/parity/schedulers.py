#!/usr/bin/env python3
"""Fixtures of the samplers, made by diffusers' own schedulers: tests/fixtures/diffusion.

    python3 tools/parity/schedulers.py

Made with diffusers 0.42.1, torch 2.15.0, numpy 2.4.6. Each case runs one scheduler, with guidance
7.5, on a denoiser that tests/diffusion/test_sampler_parity.c computes bit by bit: `denoise` below, the
exact posterior of Gaussian data plus a smooth bend, in double, rounded to f32 once.

samplers.json lists the cases, in order; samplers.f32 holds for each: init_noise_sigma, timesteps,
sigmas, the start, and the sample after every call, in our layout [n, h, w, c].
"""
import inspect
import json
import os

import diffusers
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.utils.torch_utils import randn_tensor

import inputs

OUT = os.path.join(inputs.FIXTURES, "diffusion")
SHAPE = (2, 4, 2, 2)  # n, c, h, w
GUIDANCE = 7.5

BETAS = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
         "beta_schedule": "scaled_linear", "trained_betas": None}
REAL = {
    "sd15": {"_class_name": "PNDMScheduler", **BETAS, "clip_sample": False, "set_alpha_to_one": False,
             "skip_prk_steps": True, "steps_offset": 1},
    "sd21": {"_class_name": "DDIMScheduler", **BETAS, "clip_sample": False, "set_alpha_to_one": False,
             "skip_prk_steps": True, "steps_offset": 1, "prediction_type": "v_prediction"},
    "sdxl": {"_class_name": "EulerDiscreteScheduler", **BETAS, "clip_sample": False,
             "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
             "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
             "timestep_spacing": "leading", "use_karras_sigmas": False},
}
CLASSES = ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler",
           "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler"]
DDPM, DDIM, PNDM, EULER, ANCESTRAL, HEUN, DPM = CLASSES


def alpha_cumprod(scheduler, t):
    """The schedule at a timestep that may be a fraction, linear in double."""
    table = scheduler.alphas_cumprod.numpy()
    t = min(max(float(t), 0.0), len(table) - 1.0)
    low = min(int(t), len(table) - 2)
    a, b = float(table[low]), float(table[low + 1])
    return (b - a) * (t - low) + a


def denoise(x, a, mean, variance, prediction):
    """The prediction for x = sqrt(a) x0 + sqrt(1 - a) e with x0 ~ N(mean, variance), bent."""
    x = x.double().numpy()
    alpha, sigma = np.sqrt(a), np.sqrt(1.0 - a)
    away = x - alpha * mean
    total = a * variance + (1.0 - a)
    bend = 0.05 * away / (1.0 + away * away)
    original = mean + variance * alpha * away / total - sigma * bend
    noise = sigma * away / total + alpha * bend
    if prediction == "epsilon":
        out = noise
    elif prediction == "v_prediction":
        out = alpha * noise - sigma * original
    else:
        out = original
    return torch.from_numpy(out.astype(np.float32))


def ours(t):
    return t.permute(0, 2, 3, 1).contiguous().numpy().reshape(-1)


def run(case):
    config, name = case["config"], case["class"]
    scheduler = getattr(diffusers, name).from_config(config)
    n_steps, strength, eta = case["n_steps"], case["strength"], case["eta"]
    prediction = scheduler.config.prediction_type
    generators = [torch.Generator().manual_seed(s) for s in case["seeds"]]
    generator = generators[0] if len(generators) == 1 else generators
    scheduler.set_timesteps(n_steps)
    noise = randn_tensor(SHAPE, generator=generator, dtype=torch.float32)
    timesteps = scheduler.timesteps
    if strength < 1:  # pipeline_stable_diffusion_img2img.get_timesteps
        start = max(n_steps - min(int(n_steps * strength), n_steps), 0)
        timesteps = timesteps[start * scheduler.order :]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start * scheduler.order)
        original = torch.from_numpy(inputs.fill("sampler/original", SHAPE))
        sample = scheduler.add_noise(original, noise, timesteps[:1])
    else:
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        sample = noise * scheduler.init_noise_sigma
    known = inspect.signature(scheduler.step).parameters
    extra = {k: v for k, v in {"eta": eta, "generator": generator}.items() if k in known}
    has_sigmas = hasattr(scheduler, "sigmas")
    sigmas = scheduler.sigmas.numpy() if has_sigmas else np.zeros(0, np.float32)
    init = float(scheduler.init_noise_sigma)
    out = [np.array([init], np.float32), timesteps.float().numpy(), sigmas, ours(sample)]
    for t in timesteps:
        x = scheduler.scale_model_input(sample, t)
        a = alpha_cumprod(scheduler, t)
        uncond = denoise(x, a, 0.25, 1.0, prediction)
        cond = denoise(x, a, -0.5, 0.5625, prediction)
        guided = uncond + GUIDANCE * (cond - uncond)
        if case["rescale"] > 0:
            guided = rescale_noise_cfg(guided, cond, guidance_rescale=case["rescale"])
        sample = scheduler.step(guided, t, sample, return_dict=False, **extra)[0]
        out.append(ours(sample))
    data = np.concatenate(out).astype(np.float32)
    assert np.isfinite(data).all(), case
    return {**case, "n_calls": len(timesteps), "n_sigmas": len(sigmas)}, data


def cases():
    def case(name, cls, config, n_steps=20, strength=1.0, eta=0.0, seeds=(7,), rescale=0.0):
        return {"name": name, "class": cls, "config": config, "n_steps": n_steps,
                "strength": strength, "eta": eta, "seeds": list(seeds), "rescale": rescale}

    for family, config in REAL.items():
        for cls in CLASSES:
            yield case(f"{family}/{cls}", cls, config)
    spacings, short = ("leading", "trailing", "linspace"), 7
    for cls in CLASSES:
        base = {"_class_name": cls, **BETAS, "clip_sample": False, "steps_offset": 1}
        if cls == PNDM:
            base["skip_prk_steps"] = True
        predictions = ["epsilon", "v_prediction"]
        predictions += [] if cls in (PNDM, ANCESTRAL) else ["sample"]
        for spacing in spacings:
            for prediction in predictions:
                yield case(f"{cls}/{spacing}/{prediction}", cls,
                           {**base, "timestep_spacing": spacing, "prediction_type": prediction},
                           short)
            if cls not in (PNDM, HEUN):
                yield case(f"{cls}/{spacing}/zero SNR", cls,
                           {**base, "timestep_spacing": spacing, "prediction_type": "v_prediction",
                            "rescale_betas_zero_snr": True}, short, rescale=0.7)
        for n_steps in (1, 2, 3, 50):
            yield case(f"{cls}/{n_steps} steps", cls, base, n_steps)
        yield case(f"{cls}/from an image", cls, base, 20, strength=0.3)
        for betas in ("linear", "squaredcos_cap_v2"):
            yield case(f"{cls}/{betas}", cls, {"_class_name": cls, "beta_schedule": betas,
                       "skip_prk_steps": True, "clip_sample": False}, short)
        trained = [round(0.001 + 0.0004 * i, 6) for i in range(40)]
        yield case(f"{cls}/trained betas", cls,
                   {"_class_name": cls, "trained_betas": trained, "num_train_timesteps": 40,
                    "skip_prk_steps": True}, 5)
        yield case(f"{cls}/two seeds", cls, base, 4, seeds=(1, 2))
    for cls in (EULER, HEUN, DPM):
        for field in ("use_karras_sigmas", "use_exponential_sigmas"):
            for n_steps in (1, 2, 20):
                yield case(f"{cls}/{field}/{n_steps}", cls,
                           {"_class_name": cls, **BETAS, field: True}, n_steps)
            yield case(f"{cls}/{field}/cosine", cls,
                       {"_class_name": cls, "beta_schedule": "squaredcos_cap_v2", field: True}, 9)
    for cls in (DDPM, DDIM, HEUN):
        yield case(f"{cls}/clipped", cls, {"_class_name": cls, **BETAS, "clip_sample": True,
                   "clip_sample_range": 0.75}, short)
    for variance in ("fixed_small_log", "fixed_large"):
        yield case(f"{DDPM}/{variance}", DDPM, {"_class_name": DDPM, **BETAS, "clip_sample": False,
                   "variance_type": variance}, short)
    ddim = {"_class_name": DDIM, **BETAS, "clip_sample": False}
    for eta in (0.5, 1.0):
        yield case(f"{DDIM}/eta {eta}", DDIM, ddim, short, eta=eta)
    yield case(f"{DDIM}/eta from an image", DDIM, ddim, 10, eta=1.0, strength=0.5)
    yield case(f"{PNDM}/alpha to one", PNDM, {"_class_name": PNDM, **BETAS, "skip_prk_steps": True,
               "set_alpha_to_one": True}, short)
    for prediction in ("epsilon", "v_prediction"):
        for n_steps in (4, 10):
            yield case(f"{PNDM}/Runge-Kutta/{prediction}/{n_steps}", PNDM,
                       {"_class_name": PNDM, **BETAS, "steps_offset": 1,
                        "prediction_type": prediction}, n_steps)
    euler = {"_class_name": EULER, **BETAS}
    yield case(f"{EULER}/log linear", EULER, {**euler, "interpolation_type": "log_linear"}, 8)
    yield case(f"{EULER}/to sigma_min", EULER, {**euler, "final_sigmas_type": "sigma_min"}, 8)
    yield case(f"{EULER}/given ends", EULER, {**euler, "use_karras_sigmas": True, "sigma_min": 0.05,
               "sigma_max": 12.0}, 8)
    dpm = {"_class_name": DPM, **BETAS}
    options = [{"solver_order": 1}, {"solver_type": "heun"}, {"euler_at_final": True},
               {"lower_order_final": False}, {"final_sigmas_type": "sigma_min"},
               {"final_sigmas_type": "sigma_min", "euler_at_final": True},
               {"final_sigmas_type": "sigma_min", "use_karras_sigmas": True},
               {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1},
               {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -3.0,
                "timestep_spacing": "trailing"}]
    for i, option in enumerate(options):
        for n_steps in (6, 16):
            yield case(f"{DPM}/option {i}/{n_steps}", DPM, {**dpm, **option}, n_steps)


def schedules():
    """alphas_cumprod of each formula: first, every 37th, and the last, exactly."""
    lines = []
    for betas in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        for zero in (False, True):
            for n in (1000, 777, 50):
                for start, end in ((0.0001, 0.02), (0.00085, 0.012)):
                    s = diffusers.DDIMScheduler(num_train_timesteps=n, beta_start=start, beta_end=end,
                                                beta_schedule=betas, rescale_betas_zero_snr=zero)
                    table = s.alphas_cumprod.numpy()
                    total = int(np.bitwise_xor.reduce(
                        table.view(np.uint32) * (np.arange(n, dtype=np.uint32) * 2 + 1)))
                    lines.append({"betas": betas, "zero": zero, "n": n, "start": start, "end": end,
                                  "last": float(table[-1]), "middle": float(table[n // 2]),
                                  "sum": total})
    return lines


def main():
    os.makedirs(OUT, exist_ok=True)
    listed, data = [], []
    for case in cases():
        entry, values = run(case)
        listed.append(entry)
        data.append(values)
    np.concatenate(data).tofile(os.path.join(OUT, "samplers.f32"))
    for name, lines in (("samplers", listed), ("schedules", schedules())):
        with open(os.path.join(OUT, name + ".json"), "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(x) for x in lines) + "\n]\n")
    print(len(listed), "cases,", sum(len(d) for d in data) * 4, "bytes")


if __name__ == "__main__":
    main()
