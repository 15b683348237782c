import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from bench.api import BenchError
from generators.text_to_image.pipeline import DiffusersPipeline
from generators.text_to_image.prompts import fields, prompt_text
from generators.text_to_image.sample import call_arguments, to_grey

CONF = Path(__file__).parents[3] / "conf" / "generator"
NAMES = ["stable_diffusion", "sana", "pixart_sigma", "sd35_medium", "lumina2", "flux_dev"]
SMALL = {"num_inference_steps": 2}


def option(name: str) -> dict:
    """The settings of a configuration file, as a run would give them."""
    root = OmegaConf.create({"device": "cpu", "blank_tolerance": 0, "generator": OmegaConf.load(CONF / f"{name}.yaml")})
    settings = OmegaConf.to_container(root.generator, resolve=True)
    assert settings.pop("_target_") == "generators.text_to_image.pipeline.DiffusersPipeline"
    return settings


def make(folder: Path, **settings) -> DiffusersPipeline:
    values = {"path": str(folder), "size": [32, 32], "call": SMALL, "device": "cpu", "block": 3} | settings
    return DiffusersPipeline(**values)


@pytest.fixture(scope="module")
def train(toy):
    return toy.labelled(4, size=(24, 32))


@pytest.fixture(scope="module")
def requests(toy):
    prompts = ["a mammogram", "a chest x-ray with oedema", "left breast"]
    return [toy.request(f"r{i}", prompt=prompts[i % 3], level=i, side=0) for i in range(3)]


@pytest.fixture(scope="module")
def fitted(tiny, train, tmp_path_factory):
    generator = make(tiny("stable_diffusion"))
    generator.fit(train, tmp_path_factory.mktemp("fit"), 0)
    return generator


def refusal(generator: DiffusersPipeline, train) -> str:
    with pytest.raises(BenchError) as error:
        generator.fit(train, Path("unused"), 0)
    return str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_each_pipeline_with_the_arguments_of_its_own_option(name, tiny, train, requests, tmp_path) -> None:
    call = option("sd21" if name == "stable_diffusion" else name)["call"] | {"num_inference_steps": 2}
    call |= {"max_sequence_length": 64} if "max_sequence_length" in call else {}
    first, second = (make(tiny(name), call=call) for _ in range(2))
    for generator in (first, second):
        generator.fit(train, tmp_path, 0)
        generator.plan(requests)
    images = first.sample(requests)
    assert images.shape == (3, 24, 32) and images.dtype == np.uint8
    assert len(np.unique(images, axis=0)) == 3
    assert np.array_equal(images, second.sample(requests))
    assert {key: first.facts["call"][key] for key in call} == call
    assert {part["limit"] for part in first.facts["tokens"].values()} <= {64, 77}
    assert first.facts["bad_images"] == 0
    json.dumps(first.facts, allow_nan=False)


@pytest.mark.parametrize("name", ["stable_diffusion", "sd35_medium"])
def test_the_pictures_are_those_of_the_library_itself(name, tiny, train, requests, tmp_path) -> None:
    import torch
    from diffusers import DiffusionPipeline

    generator = make(tiny(name))
    generator.fit(train, tmp_path, 0)
    library = DiffusionPipeline.from_pretrained(tiny(name), local_files_only=True)
    library.set_progress_bar_config(disable=True)
    noise = [torch.Generator().manual_seed(each.seed) for each in requests]
    prompts = [each.prompt for each in requests]
    pictures = library(prompts, height=32, width=32, generator=noise, output_type="np", **SMALL).images
    assert np.array_equal(generator.sample(requests), to_grey(pictures, (24, 32), "pad"))


def test_an_image_follows_from_its_own_request(fitted, toy, requests) -> None:
    images = fitted.sample(requests)
    assert np.array_equal(images[::-1], fitted.sample(requests[::-1]))
    padded = fitted.sample([requests[1], requests[1], requests[1]])
    assert np.array_equal(padded, np.stack([images[1]] * 3))
    other = toy.request("r1", prompt=requests[1].prompt, run=1, level=1, side=0)
    assert not np.array_equal(images[1], fitted.sample([other, *requests[1:]])[0])
    reworded = toy.request("r1", prompt="nothing", level=1, side=0)
    assert not np.array_equal(images[1], fitted.sample([reworded, *requests[1:]])[0])


def test_facts_say_what_decided_the_images(fitted, toy, tiny) -> None:
    long = toy.request("long", prompt="breast " * 40, level=0, side=0)
    fitted.plan([long, toy.request("short", prompt="breast", level=0, side=0)])
    facts = fitted.facts
    assert facts["tokens"]["tokenizer"] == {"limit": 77, "longest": 242, "prompts": 2, "truncated": 1}
    assert facts["scheduler"] == {
        "class": "DDIMScheduler",
        "prediction_type": "epsilon",
        "beta_schedule": "scaled_linear",
        "timestep_spacing": "leading",
    }
    assert facts["call"]["guidance_scale"] == 7.5 and facts["safety_checker"] == "off"
    assert facts["own_size"] == ((32, 32), (32, 32)), "as rendered, not as resized"
    unet = facts["components"]["unet"]
    assert unet["class"] == "diffusers.UNet2DConditionModel" and unet["dtype"] == "float32"
    assert len(unet["sha256"]) == 16
    assert unet["sha256"] != facts["components"]["vae"]["sha256"]


def test_parts_are_taken_from_elsewhere(tiny, train, requests, fitted, tmp_path) -> None:
    vae = tmp_path / "vae"
    shutil.copytree(tiny("stable_diffusion") / "vae", vae)
    components = {
        "vae": {"path": str(tmp_path), "subfolder": "vae"},
        "tokenizer": {"config": {"model_max_length": 20}},
        "scheduler": {"class": "diffusers.DPMSolverMultistepScheduler", "config": {"prediction_type": "v_prediction"}},
    }
    generator = make(tiny("stable_diffusion"), components=components)
    generator.fit(train, tmp_path, 0)
    generator.plan(requests)
    assert generator.facts["scheduler"]["class"] == "DPMSolverMultistepScheduler"
    assert generator.facts["scheduler"]["prediction_type"] == "v_prediction"
    assert generator.facts["scheduler"]["beta_schedule"] == "scaled_linear"
    assert generator.facts["tokens"]["tokenizer"]["limit"] == 20
    parts = generator.facts["components"]
    assert parts["vae"]["sha256"] == fitted.facts["components"]["vae"]["sha256"]
    assert parts["vae"]["path"] == str(tmp_path)
    assert not np.array_equal(generator.sample(requests), fitted.sample(requests))


def test_parts_have_their_own_precision(tiny, train, requests, tmp_path) -> None:
    dtype = {"default": "bfloat16", "vae": "float32"}
    generator = make(tiny("sana"), dtype=dtype, call=option("sana")["call"] | SMALL)
    generator.fit(train, tmp_path, 0)
    parts = generator.facts["components"]
    assert [parts[name]["dtype"] for name in ("text_encoder", "transformer", "vae")] == ["bfloat16"] * 2 + ["float32"]
    assert generator.sample(requests).std() > 1
    mixed = make(tiny("stable_diffusion"), dtype={"default": "float32", "text_encoder": "bfloat16"})
    mixed.fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match="StableDiffusionPipeline does not work with these number formats"):
        mixed.sample(requests)


def test_a_pipeline_is_put_together_from_parts_alone(tiny, train, requests, fitted, tmp_path) -> None:
    source = tiny("stable_diffusion")
    parts = {
        "unet": {"path": str(source), "subfolder": "unet"},
        "vae": {"path": str(source / "vae")},
        "text_encoder": {"path": str(source / "text_encoder")},
        "tokenizer": {"path": str(source / "tokenizer"), "class": "transformers.CLIPTokenizer"},
        "scheduler": {
            "class": "diffusers.DDIMScheduler",
            "config": {"beta_schedule": "scaled_linear", "clip_sample": False},
        },
    }
    generator = make(source, path=None, pipeline="StableDiffusionPipeline", components=parts)
    generator.fit(train, tmp_path, 0)
    assert np.array_equal(generator.sample(requests), fitted.sample(requests))
    del parts["vae"]
    message = refusal(make(source, path=None, pipeline="StableDiffusionPipeline", components=parts), train)
    assert "also needs ['vae']" in message


def test_a_third_text_encoder_can_be_left_out(tiny, train, requests, tmp_path) -> None:
    generator = make(tiny("sd35_medium"), components={"text_encoder_3": None, "tokenizer_3": None})
    generator.fit(train, tmp_path, 0)
    generator.plan(requests)
    assert set(generator.facts["tokens"]) == {"tokenizer", "tokenizer_2"}
    assert generator.facts["components"]["text_encoder_3"] == {"class": None}
    assert generator.sample(requests).shape == (3, 24, 32)


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    """The folder of an adapter with random weights for the tiny Stable Diffusion."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    folder = tmp_path_factory.mktemp("adapter")
    unet = UNet2DConditionModel.from_pretrained(tiny("stable_diffusion"), subfolder="unet")
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_k", "to_q", "to_v", "to_out.0"]))
    source = torch.Generator().manual_seed(0)
    for name, weight in unet.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=source) * 0.5
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return folder


def with_lora(tiny, train, requests, adapter: Path, **lora) -> tuple[np.ndarray, dict]:
    generator = make(tiny("stable_diffusion"), lora={"path": str(adapter), "adapter": "xray"} | lora)
    generator.fit(train, adapter, 0)
    return generator.sample(requests).astype(int), generator.facts["lora"]


def test_an_adapter_acts_at_its_scale_fused_or_not(tiny, train, requests, fitted, adapter) -> None:
    without = fitted.sample(requests).astype(int)
    full, facts = with_lora(tiny, train, requests, adapter)
    assert facts["layers"] == 32 and facts["scale"] == 1.0 and len(facts["sha256"]) == 64
    assert np.abs(full - without).max() > 3
    assert np.array_equal(without, with_lora(tiny, train, requests, adapter, scale=0.0)[0])
    assert np.abs(full - with_lora(tiny, train, requests, adapter, fuse=True)[0]).max() <= 1
    half = with_lora(tiny, train, requests, adapter, scale=0.5, fuse=True)[0]
    assert np.abs(half - full).max() > 1 and np.abs(half - without).max() > 1


def test_an_adapter_that_does_not_fit_is_refused(tiny, train, adapter) -> None:
    folder = tiny("stable_diffusion")
    lora = {"path": str(adapter)}
    assert "must be a safetensors file" in refusal(make(folder, lora=lora | {"file": "a.bin"}), train)
    assert "must be a safetensors file" in refusal(make(folder, lora=lora | {"file": "../a.safetensors"}), train)
    assert "pytorch_lora_weights.safetensors" in refusal(make(folder, lora=lora | {"file": "b.safetensors"}), train)
    assert "generator.lora" in refusal(make(tiny("flux_dev"), lora=lora), train)
    assert "generator.lora.path is not set" in refusal(make(folder, lora={}), train)


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny Stable Diffusion to spoil."""
    return Path(shutil.copytree(tiny("stable_diffusion"), tmp_path / "broken"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_pickled_weights_are_refused(broken, train) -> None:
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    message = refusal(make(broken), train)
    assert "diffusion_pytorch_model.bin" in message and "safetensors" in message


def test_code_in_a_folder_is_refused_unless_named(broken, train, tmp_path) -> None:
    (broken / "unet" / "model.py").write_text("raise SystemExit")
    assert "generator.remote_code=[unet]" in refusal(make(broken), train)
    make(broken, remote_code=["unet"]).fit(train, tmp_path, 0)
    edit(broken / "vae" / "config.json", auto_map={"AutoModel": "model.Model"})
    assert "generator.remote_code=[vae]" in refusal(make(broken, remote_code=["unet"]), train)


@pytest.fixture
def bert(tmp_path):
    """A tiny BERT under its own class, as BioViL-T is published, and the file its code would leave if it ran."""
    import transformers

    folder, canary = tmp_path / "bert", tmp_path / "canary"
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    transformers.BertModel(transformers.BertConfig(vocab_size=32, **sizes)).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join([*words, "##a"]))
    maps = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoTokenizer": ["own.Tokenizer", None]}
    edit(folder / "config.json", auto_map=maps, model_type="cxr-bert", architectures=["CXRBertModel"])
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Tokenizer", "auto_map": maps}))
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w')\nraise SystemExit\n")
    return folder, canary


def test_a_library_class_reads_a_part_with_code_of_its_own_as_data(bert, tiny, train, requests, tmp_path) -> None:
    folder, canary = bert
    parts = {
        "text_encoder": {"path": str(folder), "class": "transformers.BertModel", "may_miss": ["pooler."]},
        "tokenizer": {"path": str(folder), "class": "transformers.BertTokenizer", "config": {"model_max_length": 16}},
    }
    generator = make(tiny("stable_diffusion"), components=parts)
    generator.fit(train, tmp_path, 0)
    generator.plan(requests)
    assert generator.sample(requests).std() > 1
    used = generator.facts["components"]
    assert (used["text_encoder"]["class"], used["tokenizer"]["class"]) == (
        "transformers.BertModel",
        "transformers.BertTokenizer",
    )
    assert generator.facts["tokens"]["tokenizer"]["limit"] == 16 and not canary.exists()


@pytest.mark.parametrize(("part", "kind"), [("text_encoder", "AutoModel"), ("tokenizer", "AutoTokenizer")])
def test_a_class_that_the_files_choose_is_still_refused(part, kind, bert, tiny, train) -> None:
    folder, canary = bert
    chosen = {part: {"path": str(folder), "class": f"transformers.{kind}"}}
    message = refusal(make(tiny("stable_diffusion"), components=chosen), train)
    assert f"generator.remote_code=[{part}]" in message and f"generator.components.{part}.class=" in message
    (folder / "own.py").unlink()
    assert "config.json: this part brings code" in refusal(make(tiny("stable_diffusion"), components=chosen), train)
    listed = {part: {"path": str(folder)}}
    assert f"generator.remote_code=[{part}]" in refusal(make(tiny("stable_diffusion"), components=listed), train)
    assert not canary.exists()


def test_code_is_switched_off_and_not_left_open(bert, tiny, train, monkeypatch, tmp_path) -> None:
    import transformers

    asked, load = [], transformers.BertModel.from_pretrained

    def seen(*given, **options):
        asked.append(options["trust_remote_code"])
        return load(*given, **options)

    monkeypatch.setattr(transformers.BertModel, "from_pretrained", seen)
    parts = {"text_encoder": {"path": str(bert[0]), "class": "transformers.BertModel"}}
    make(tiny("stable_diffusion"), components=parts).fit(train, tmp_path, 0)
    assert asked == [False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet": ["my_models", "Unet"]}, "'my_models.Unet'; nothing is imported from elsewhere"),
        ({"unet": ["os", "system"]}, "'os.system'; nothing is imported from elsewhere"),
        ({"unet": ["diffusers", "utils"]}, "is no model, scheduler, tokenizer or processor"),
        ({"unet": ["diffusers", "NoSuchModel"]}, "is no model, scheduler, tokenizer or processor"),
        ({"_class_name": ["pipeline", "Mine"]}, "is custom code"),
        ({"_class_name": "AutoencoderKL"}, "is no pipeline of diffusers"),
    ],
)
def test_unknown_classes_are_refused(broken, train, changes, message) -> None:
    edit(broken / "model_index.json", **changes)
    assert message in refusal(make(broken), train)


def test_a_safety_checker_is_switched_off_unseen(broken, train, tmp_path) -> None:
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    processor = ["transformers", "CLIPImageProcessor"]
    edit(broken / "model_index.json", safety_checker=checker, feature_extractor=processor, requires_safety_checker=True)
    generator = make(broken)
    generator.fit(train, tmp_path, 0)
    assert generator.facts["safety_checker"] == "off"
    assert generator.facts["components"]["safety_checker"] == {"class": None}


def test_missing_weights_are_not_made_up(broken, train) -> None:
    from safetensors.torch import load_file, save_file

    path = broken / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    dropped = sorted(weights)[0]
    save_file({key: value for key, value in weights.items() if key != dropped}, path, {"format": "pt"})
    message = refusal(make(broken), train)
    assert "lacks 1 weights of CLIPTextModel" in message and "may_miss" in message


def test_sources_must_be_whole_and_pinned(tiny, train, tmp_path) -> None:
    assert "generator.path is not set" in refusal(make(tmp_path, path=None), train)
    assert "has no model_index.json" in refusal(make(tmp_path), train)
    assert "neither a folder nor a hub id" in refusal(make(tmp_path / "gone"), train)
    for revision in (None, "main", "abc1234"):
        message = refusal(make(tmp_path, path="owner/model", revision=revision), train)
        assert "40 hex digits" in message and "owner/model/commits" in message
    escaping = {"vae": {"path": str(tiny("stable_diffusion")), "subfolder": "../elsewhere"}}
    assert "is not a folder inside" in refusal(make(tiny("stable_diffusion"), components=escaping), train)


def test_an_unknown_commit_is_refused_before_the_hub_is_asked(tiny, train, monkeypatch, tmp_path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **_: pytest.fail("the hub was asked"))
    remedy = (
        "no commit of owner/model is known to this project; set {0}.revision=<40 hex digits>, chosen at "
        "https://huggingface.co/owner/model/commits, or {0}.path=a folder"
    )
    whole = make(tmp_path, path="owner/model", revision="unknown")
    assert refusal(whole, train) == "generator.revision is unknown: " + remedy.format("generator")
    vae = {"vae": {"path": "owner/model", "revision": "unknown"}}
    message = refusal(make(tiny("stable_diffusion"), components=vae), train)
    assert message.endswith(remedy.format("generator.components.vae"))


def test_a_folder_has_no_revision_whatever_stands_beside_it(tiny, train, tmp_path) -> None:
    folder = tiny("stable_diffusion")
    vae = {"vae": {"path": str(folder / "vae"), "revision": "0" * 40}}
    for revision in ("unknown", "0" * 40):
        generator = make(folder, revision=revision, components=vae)
        generator.fit(train, tmp_path, 0)
        assert generator.facts["revision"] is None and generator.facts["components"]["vae"]["revision"] is None


def test_a_hub_that_cannot_be_reached_is_explained(train, monkeypatch) -> None:
    import huggingface_hub

    def refuse(**_):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    message = refusal(make(Path("x"), path="owner/model", revision="0" * 40), train)
    assert "LocalEntryNotFoundError: no network" in message and "accept its licence" in message


def test_only_what_is_needed_is_fetched_from_the_hub(tiny, train, tmp_path, monkeypatch) -> None:
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda **wanted: asked.append(wanted) or str(tiny("stable_diffusion"))
    )
    generator = make(tmp_path, path="owner/model", revision="0123456789" * 4)
    generator.fit(train, tmp_path, 0)
    assert {each["repo_id"] for each in asked} == {"owner/model"}
    assert {each["revision"] for each in asked} == {"0123456789" * 4} == {generator.facts["revision"]}
    assert "unet/*.safetensors" in asked[-1]["allow_patterns"]
    assert not [pattern for pattern in asked[-1]["allow_patterns"] if pattern.endswith((".bin", ".py", "/*"))]


def test_arguments_are_checked_against_the_pipeline(tiny, train) -> None:
    folder = tiny("stable_diffusion")
    message = refusal(make(folder, call={"guidance_scal": 3}), train)
    assert "no such argument; did you mean guidance_scale" in message
    assert "use generator.size" in refusal(make(folder, call={"height": 64}), train)
    assert "has no ['text_encoder_9']" in refusal(make(folder, components={"text_encoder_9": {}}), train)
    bad = {"scheduler": {"config": {"betas": 3}}}
    assert "DDIMScheduler has no ['betas']" in refusal(make(folder, components=bad), train)
    for settings in ({"colour": True}, {"dtype": "int8"}, {"size": 512}, {"components": {"vae": {"paht": "x"}}}):
        with pytest.raises(BenchError, match=rf"generator\.{next(iter(settings))}"):
            make(folder, **settings)


def test_every_option_is_valid_and_its_arguments_exist() -> None:
    import diffusers

    pipelines = {"sana": "Sana", "pixart_sigma": "PixArtSigma", "lumina2": "Lumina2", "flux_dev": "Flux"}
    names = ["sd14", "sd15", "sd2", "sd21", "radedit", "sd35_medium", *pipelines, "diffusers"]
    for name in names:
        settings = option(name)
        assert DiffusersPipeline(**settings).uses == ("prompt",)
        kind = pipelines.get(name, "StableDiffusion3" if name == "sd35_medium" else "StableDiffusion")
        pipeline = getattr(diffusers, f"{kind}Pipeline")
        assert call_arguments(SimpleNamespace(__call__=pipeline.__call__), settings["call"])["num_inference_steps"]


def spoil(generator: DiffusersPipeline, monkeypatch, value: float) -> None:
    decode = type(generator._pipeline.vae).decode

    def bad(self, latents, **settings):
        decoded = decode(self, latents, **settings)
        decoded[0][1] = value
        return decoded

    monkeypatch.setattr(type(generator._pipeline.vae), "decode", bad)


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "not a number"), (-1.0, "blank")])
def test_pictures_that_show_nothing_stop_the_run(tiny, train, requests, tmp_path, monkeypatch, value, reason) -> None:
    generator = make(tiny("stable_diffusion"))
    generator.fit(train, tmp_path, 0)
    spoil(generator, monkeypatch, value)
    with pytest.raises(BenchError, match=rf"1 images show nothing, tolerated are 0: r1 \({reason}\)"):
        generator.sample(requests)
    tolerant = make(tiny("stable_diffusion"), bad_tolerance=1)
    tolerant.fit(train, tmp_path, 0)
    images = tolerant.sample(requests)
    assert not images[1].any() and images[0].any() and images[2].any()
    assert tolerant.facts["bad_images"] == 1


def test_out_of_memory_says_what_to_lower(fitted, requests, monkeypatch) -> None:
    import torch

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fitted._pipeline.unet, "forward", full)
    with pytest.raises(BenchError, match=r"3 images of 32 x 32 at a time: lower generator.block"):
        fitted.sample(requests)


def test_grey_is_luminance() -> None:
    red, white = np.zeros((1, 4, 4, 3), np.float32), np.ones((1, 4, 4, 3), np.float32)
    red[..., 0] = 1
    assert (to_grey(red, (4, 4), "pad") == 76).all() and (to_grey(white, (4, 4), "pad") == 255).all()
    assert to_grey(white[..., :1] * 0.5, (2, 4), "pad").tolist() == [[[0, 128, 128, 0]] * 2]
    assert to_grey(white[..., :1] * 0.5, (2, 4), "crop").min() == 128


def test_prompts_are_made_of_the_request(toy) -> None:
    labels = {label.name: label for label in toy.info.labels}
    request = toy.request("r", prompt="as asked", level=2, side=1)
    assert prompt_text("{prompt}: level {level}, {side}", request, labels) == "as asked: level 2, right"
    assert fields("{side} {side} {level}") == ("side", "level")
    with pytest.raises(BenchError, match=r"names {colour}"):
        prompt_text("{colour}", request, labels)
    with pytest.raises(BenchError, match="has no prompt"):
        prompt_text("{prompt}", toy.request("r", level=2, side=1), labels)
    with pytest.raises(BenchError, match="not a template"):
        fields("{open")
