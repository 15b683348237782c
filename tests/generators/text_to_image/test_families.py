"""What is learned is what is sampled: each family held against the pipeline and the scheduler it trains for."""

import math

import pytest

from bench.api import BenchError
from tests.generators.text_to_image.tiny_families import CASES, OPTIONS, SIZE, family_of, loader

WORDS = ["a mammogram", "left"]


@pytest.fixture(scope="module")
def loaded(tiny):
    return loader(tiny)


def pictures(count: int = 2):
    import torch

    return torch.rand((count, 3, *SIZE), generator=torch.Generator().manual_seed(5)) * 2 - 1


def encoded(pipeline, family):
    import torch

    return family.latents(pipeline, pictures(), torch.Generator().manual_seed(0))


def drawn(shape, seed: int):
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def as_given(pipeline, latents):
    """Latents in the shape in which the pipeline takes them and hands them to its scheduler."""
    return pipeline._pack_latents(latents, *latents.shape) if hasattr(pipeline, "_pack_latents") else latents


def run(pipeline, call, latents, replace=None) -> list[tuple]:
    """What the pipeline hands to its scheduler, step by step; ``replace`` may put something else in its place."""
    taken = []
    step = pipeline.scheduler.step

    def spy(output, time, sample, **settings):
        if replace is not None:
            output, sample = replace(output, time, sample)
        taken.append((output, time, sample))
        return step(output, time, sample, **settings)

    pipeline.scheduler.step = spy
    pipeline(prompt=WORDS, height=SIZE[0], width=SIZE[1], latents=as_given(pipeline, latents), **call)
    return taken


@pytest.mark.parametrize("case", CASES)
def test_the_prediction_is_what_the_pipeline_hands_to_its_scheduler(case, loaded) -> None:
    import torch

    from generators.text_to_image.families import Captions

    pipeline, family, call = loaded(case)
    call |= {"guidance_scale": getattr(family, "guidance", 1.0)}
    captions = Captions(pipeline, family, call, 1 << 30)
    steps = run(pipeline, call, drawn(encoded(pipeline, family).shape, 1))
    shape = encoded(pipeline, family).shape
    assert len(steps) == 3
    for output, time, sample in steps:
        noisy = unpacked(pipeline, sample, shape)
        cases = ((WORDS, time), (WORDS[::-1], time), (WORDS, time * 0.9))
        with torch.no_grad():
            predicted = [family.predict(pipeline, noisy, when.expand(2), captions(words)) for words, when in cases]
        mine, other, later = (as_given(pipeline, each) for each in predicted)
        assert torch.allclose(mine, output, atol=1e-5, rtol=0)
        assert (other - output).abs().max() > 1e-4 and (later - output).abs().max() > 1e-4


def unpacked(pipeline, latents, shape):
    if not hasattr(pipeline, "_unpack_latents"):
        return latents
    scale = pipeline.vae_scale_factor
    return pipeline._unpack_latents(latents, shape[2] * scale, shape[3] * scale, scale)


@pytest.mark.parametrize("name", OPTIONS)
def test_no_caption_is_what_guidance_compares_with(name, loaded) -> None:
    import torch

    from generators.text_to_image.families import Captions

    pipeline, family, call = loaded(name)
    call |= {"guidance_scale": 3.0}
    if "true_cfg_scale" in call:
        call |= {"guidance_scale": family.guidance, "true_cfg_scale": 3.0, "negative_prompt": ""}
    if "cfg_normalization" in call:
        call |= {"cfg_normalization": False, "cfg_trunc_ratio": 1.0}
    noisy = drawn(encoded(pipeline, family).shape, 1)
    captions = Captions(pipeline, family, call, 0)
    output, time, _ = run(pipeline, call, noisy)[0]
    with torch.no_grad():
        heard, unheard = (
            family.predict(pipeline, noisy, time.expand(2), captions(each)) for each in (WORDS, [None, None])
        )
    assert (heard - unheard).abs().max() > 1e-4
    guided = as_given(pipeline, unheard + 3 * (heard - unheard))
    assert torch.allclose(guided, output, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_a_perfect_prediction_leads_the_sampler_to_the_image(case, loaded, monkeypatch) -> None:
    """Target, noising, time, packing and scaling of latents: each would lead elsewhere if it were wrong."""
    import torch

    pipeline, family, call = loaded(case)
    latents = encoded(pipeline, family)
    noise = drawn(latents.shape, 2)
    first = []

    def perfect(output, time, sample):
        times = time.expand(2)
        if not first:
            first.append(time)
            sample = as_given(pipeline, family.noised(pipeline, latents, noise, times))
        return as_given(pipeline, family.target(pipeline, latents, noise, times)).to(output), sample

    decoded = []
    monkeypatch.setattr(pipeline.vae, "decode", lambda given, **_: decoded.append(given) or [torch.zeros(2, 3, *SIZE)])
    run(pipeline, call, noise, perfect)
    source = torch.Generator().manual_seed(0)
    own = torch.cat([family.code(pipeline.vae, each[None], source) for each in pictures()]).detach()
    # the solver rounds times to whole numbers
    assert torch.allclose(decoded[0], own, atol=2e-2 if case == "solver" else 2e-4, rtol=0)
    assert own.std() > 0.01


def test_flow_times_are_logit_normal_and_shifted(loaded) -> None:
    import torch

    from generators.text_to_image.families import Flux, StableDiffusion3

    pipeline = loaded("sd35_medium")[0]
    many, source = torch.zeros(20_000, 4, 4, 4), torch.Generator().manual_seed(0)
    for family, mean, spread in (
        (StableDiffusion3(), 0.0, 1.0),
        (StableDiffusion3(mean=-0.5, spread=0.7), -0.5, 0.7),
        (StableDiffusion3(shift=3.0), math.log(3), 1.0),
    ):
        logits = torch.logit(family.times(pipeline, many, source) / 1000)
        assert abs(logits.mean() - mean) < 0.03 and abs(logits.std() - spread) < 0.03
    assert StableDiffusion3().sampling_shift(loaded("sana")[0], many) == 3.0
    assert StableDiffusion3().sampling_shift(loaded("solver")[0], many) == 3.0
    flux = loaded("flux_dev")[0]
    flux.scheduler.register_to_config(use_dynamic_shifting=True)
    assert Flux().sampling_shift(flux, torch.zeros(1, 16, 128, 128)) == pytest.approx(math.exp(1.15))
    assert Flux().sampling_shift(flux, torch.zeros(1, 16, 32, 32)) == pytest.approx(math.exp(0.5))


def test_noising_times_are_uniform_over_the_schedule(loaded) -> None:
    import torch

    pipeline, family, _ = loaded("stable_diffusion")
    times = family.times(pipeline, torch.zeros(50_000, 1), torch.Generator().manual_seed(0))
    assert times.min() == 0 and times.max() == 999 and abs(times.double().mean() - 499.5) < 5


@pytest.mark.parametrize("name", OPTIONS)
def test_another_family_is_refused_by_name(name, loaded) -> None:
    pipeline, own, _ = loaded(name)
    own.check(pipeline, SIZE)
    for other in OPTIONS.keys() - {name}:
        wrong = family_of(other)
        lacking = [part for part in wrong.parts if not hasattr(pipeline, part)]
        named = rf"{type(wrong).__name__} trains a {wrong.pipeline}, this is a {type(pipeline).__name__}"
        with pytest.raises(BenchError, match=named + (f" that lacks {', '.join(lacking)}" if lacking else "")):
            wrong.check(pipeline, SIZE)


def test_what_a_family_cannot_train_is_refused(loaded) -> None:
    import torch
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    pipeline, family, _ = loaded("sd35_medium")
    with pytest.raises(BenchError, match=r"generator.size is \[32, 33\].*multiples of 2"):
        family.check(pipeline, (32, 33))
    pipeline.scheduler = DDIMScheduler()
    with pytest.raises(BenchError, match="DDIMScheduler does not sample a flow"):
        family.check(pipeline, SIZE)
    pipeline, family, _ = loaded("stable_diffusion")
    pipeline.scheduler = DDIMScheduler(prediction_type="sample")
    with pytest.raises(BenchError, match="DDIMScheduler with prediction_type=sample"):
        family.check(pipeline, SIZE)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(BenchError, match="FlowMatchEulerDiscreteScheduler with prediction_type=None"):
        family.check(pipeline, SIZE)
    pipeline, family, _ = loaded("sana")
    pipeline.transformer.to(torch.float16)
    with pytest.raises(BenchError, match=r"generator.dtype: the transformer is in float16"):
        family.check(pipeline, SIZE)
    pipeline, family, _ = loaded("lumina2")
    pipeline.text_encoder = None
    with pytest.raises(BenchError, match="lacks text_encoder"):
        family.check(pipeline, SIZE)


def test_a_caption_is_encoded_once(loaded, monkeypatch) -> None:
    import torch

    from generators.text_to_image.families import Captions, Sana

    pipeline, family, call = loaded("sana")
    encode, asked = Sana.encode, []
    monkeypatch.setattr(Sana, "encode", lambda *given: asked.append(given[2]) or encode(*given))
    captions = Captions(pipeline, family, call, 1 << 30)
    rows = captions(["a", None, "a", "b"])
    assert asked == ["a", None, "b"] and torch.equal(
        captions(["b", "a"])["encoder_hidden_states"][1], rows["encoder_hidden_states"][0]
    )
    assert asked == ["a", None, "b"]
    full = Captions(pipeline, family, call, 1)
    full(["a", "a"])
    assert asked[3:] == ["a", "a"]
