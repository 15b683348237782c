"""Files of others that would run code: 0 of them do, whoever opens them, and nothing is asked at the terminal.

Each case writes one artefact with a canary in it, a file that appears when its code runs, and opens it as the project
would. It is refused by name, or read as data.
"""

from __future__ import annotations

import builtins
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import BenchError, ImageSet, Request
from bench.storage.checkpoints import Location, Weights, read_tensors
from bench.storage.files import file_digest
from bench.storage.image_reader import decode_file
from tests.generators.conftest import labelled, request, requests_like
from tests.toy import toy_set

NOT_PLAIN = r"encoder\.net\.path: .* is no plain file of weights"
COMPUTE = {"device": "cpu", "dtype": "float32", "block": 4}
COLOURS = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
MAPS = {
    "AutoConfig": "own.Config",
    "AutoModel": "own.Model",
    "AutoTokenizer": ["own.Tokenizer", None],
    "AutoProcessor": "own.Processor",
}


class Payload:
    """An object whose unpickling creates the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


@dataclass(frozen=True)
class Place:
    """Where a case works."""

    folder: Path
    canary: Path
    pipeline: Path
    clip: Path
    vlm: Path

    @property
    def pickled(self) -> bytes:
        return pickle.dumps(Payload(self.canary), protocol=2)

    @property
    def code(self) -> str:
        return (
            f"import os\nos.mkdir({str(self.canary)!r})\nclass Config: pass\nclass Model: pass\nclass Tokenizer: pass\n"
        )

    def copied(self, folder: Path) -> Path:
        return Path(shutil.copytree(folder, self.folder / "copy"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of open_clip's with tiny weights."""
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    folder = tmp_path_factory.mktemp("clip")
    save_file(CLIP(8, vision, text).state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> tuple[Path, Path, Path]:
    from tests.evaluators.filters.tiny_vlm import build as vlm
    from tests.generators.text_to_image.tiny_pipelines import build as pipeline

    answers = ["High Quality", "Low Quality"]
    return (
        pipeline("stable_diffusion", tmp_path_factory.mktemp("pipeline")),
        clip,
        vlm(tmp_path_factory.mktemp("vlm"), answers),
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked at the terminal, where somebody says yes to everything."""
    questions: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda text="": questions.append(str(text)) or "y")
    return questions


@pytest.fixture
def place(made: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path)
    yield Place(tmp_path, tmp_path / "canary", *made)


def edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    change(content)
    path.write_text(json.dumps(content))


# weights of an encoder


def weights(name: str, write: Callable[[Path, Place], Any]) -> Callable[[Place], Any]:
    def act(place: Place) -> Any:
        path = place.folder / name
        write(path, place)
        return read_tensors(path, "encoder.net.path")

    return act


def safetensors(header: bytes, length: int | None = None) -> Callable[[Path, Place], Any]:
    size = len(header) if length is None else length
    return lambda path, place: path.write_bytes(size.to_bytes(8, "little") + header + place.pickled)


def script(path: Path, place: Place) -> None:
    """An archive as TorchScript has it, with a pickle for its constants."""
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    with zipfile.ZipFile(path) as archive:
        kept = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in kept.items():
            archive.writestr(each, place.pickled if each.endswith(".pkl") else content)


def tarred(path: Path, place: Place) -> None:
    (place.folder / "pickle").write_bytes(place.pickled)
    with tarfile.open(path, "w") as archive:
        archive.add(place.folder / "pickle", "pickle")
        archive.add(place.folder / "pickle", "../../storages")


def numbers(path: Path, place: Place) -> None:
    np.save(path, np.array([Payload(place.canary)], dtype=object), allow_pickle=True)


def zipped(path: Path, place: Place) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", place.pickled)
        archive.writestr("archive/version", "3\n")


def linked(path: Path, place: Place) -> None:
    (place.folder / "elsewhere").write_bytes(place.pickled)
    path.symlink_to(place.folder / "elsewhere")


# arrays that the project itself keeps


def features(place: Place) -> Any:
    """Rows of a shared cache, with the digest that they should have."""
    from bench.pipeline.features import FeatureStore
    from bench.storage.feature_rows import rows_of
    from evaluators.encoders.pixels import Pixels

    images, cache, encoders = toy_set(place.folder / "set", "made", 4), place.folder / "cache", {"pixels": Pixels(4)}
    FeatureStore(cache, encoders)("pixels", images)
    (keys,) = cache.rglob("*.hashes")
    numbers(place.folder / "rows.npy", place)
    first, _, names = keys.read_text().partition("\n")
    digest = file_digest(place.folder / "rows.npy")
    shutil.copy(place.folder / "rows.npy", rows_of(keys, digest))
    keys.write_text(f"{digest} {first.partition(' ')[2]}\n{names}")
    return FeatureStore(cache, encoders)("pixels", images)


def trained(place: Place) -> Any:
    from generators.controls.pca import _load

    np.savez(place.folder / "pca.npz", key=np.array([Payload(place.canary)], dtype=object))
    return _load(place.folder / "pca.npz", "key")


# pictures


def picture(name: str, write: Callable[[Path, Place], Any]) -> Callable[[Place], Any]:
    def act(place: Place) -> Any:
        write(place.folder / "written", place)
        made = place.folder / "written"
        (made if made.exists() else made.with_suffix(".npy")).rename(place.folder / name)
        return decode_file(place.folder / name)

    return act


def plain(path: Path, place: Place) -> None:
    path.write_bytes(place.pickled)


# finished sets


def finished(write: Callable[[Path, Place], Any]) -> Callable[[Place], Any]:
    def act(place: Place) -> Any:
        from generators.finished.parquet import Parquet

        (place.folder / "set").mkdir()
        write(place.folder / "set" / "train-0.parquet", place)
        train = labelled(8)
        asked: list[Request] = [request(f"r{i}", level=0, side=0) for i in range(2)]
        generator = Parquet(str(place.folder / "set"), by="request_id")
        generator.fit(train, place.folder, 0)
        generator.plan(asked)
        return generator.sample(asked)

    return act


def table(cell: Any, kind: Any = None, metadata: Any = None, ids: Any = None) -> Callable[[Path, Place], Any]:
    """Two rows whose ``image`` is ``cell(place)``."""

    def write(path: Path, place: Place) -> None:
        import pyarrow
        import pyarrow.parquet

        kind_ = kind or pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
        fields = [pyarrow.field("image", kind_, metadata=metadata(place) if metadata else None)]
        fields.append(pyarrow.field("request_id", pyarrow.string()))
        columns = [pyarrow.array([cell(place)] * 2, kind_), pyarrow.array(["r0", "r1"])]
        schema = pyarrow.schema(
            fields, metadata={"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Pdf"}}}})}
        )
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path)

    return write


def extension(place: Place) -> dict[str, bytes]:
    """As pyarrow 13 and older wrote a type of Python's, which they unpickled when they read it."""
    return {"ARROW:extension:name": b"arrow.py_extension_type", "ARROW:extension:metadata": place.pickled}


# pipelines of diffusers


def sampled(place: Place, spoil: Callable[[Path, Place], Any], **settings: Any) -> Any:
    from generators.text_to_image.pipeline import DiffusersPipeline

    folder = place.copied(place.pipeline)
    spoil(folder, place)
    values = {"path": str(folder), "size": [32, 32], "call": {"num_inference_steps": 1}, "device": "cpu", "block": 2}
    generator = DiffusersPipeline(**(values | settings))
    train: ImageSet = labelled(2, size=(24, 32))
    generator.fit(train, place.folder, 0)
    generator.plan(requests_like(train))


def diffusers(spoil: Callable[[Path, Place], Any], **settings: Any) -> Callable[[Place], Any]:
    return lambda place: sampled(place, spoil, **settings)


def index(**changes: Any) -> Callable[[Path, Place], Any]:
    def spoil(folder: Path, place: Place) -> None:
        (folder / "evil.py").write_text(place.code)
        (place.folder / "evil.py").write_text(place.code)
        edited(folder / "model_index.json", lambda content: content.update(changes))

    return spoil


def mapped(part: str, file: str) -> Callable[[Path, Place], Any]:
    """A configuration that names classes of its own, whose code lies in a subfolder."""

    def spoil(folder: Path, place: Place) -> None:
        (folder / part / "code").mkdir(parents=True, exist_ok=True)
        (folder / part / "code" / "own.py").write_text(place.code)
        maps = {
            key: f"code.{name}" if isinstance(name, str) else [f"code.{name[0]}", None] for key, name in MAPS.items()
        }
        edited(folder / part / file, lambda content: content.update(auto_map=maps, model_type="theirs"))

    return spoil


def coded(name: str) -> Callable[[Path, Place], Any]:
    def spoil(folder: Path, place: Place) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(place.code)

    return spoil


def only_pickled(part: str, name: str) -> Callable[[Path, Place], Any]:
    def spoil(folder: Path, place: Place) -> None:
        for path in (folder / part).glob("*.safetensors"):
            path.unlink()
        (folder / part / name).write_bytes(place.pickled)

    return spoil


def written(name: str, content: str) -> Callable[[Path, Place], Any]:
    return lambda folder, place: (folder / name).write_text(content)


def elsewhere(folder: Path, place: Place) -> None:
    """A part that is a link to a folder with code."""
    shutil.move(folder / "unet", place.folder / "theirs")
    (place.folder / "theirs" / "own.py").write_text(place.code)
    (folder / "unet").symlink_to(place.folder / "theirs")


def untouched(folder: Path, place: Place) -> None:
    (place.folder / "lora").mkdir()
    (place.folder / "lora" / "lora.bin").write_bytes(place.pickled)
    (place.folder / "lora.safetensors").write_bytes(place.pickled)


AUTO = {"tokenizer": {"class": "transformers.AutoTokenizer"}}
SWITCH = {"tokenizer": {"class": "transformers.AutoTokenizer", "config": {"trust_remote_code": True}}}
CODE_REFUSED = r"this part brings code of its own, which is not run"


# encoders and filters that read folders


def encoder(place: Place) -> Any:
    from evaluators.encoders.transformers_model import transformers_model

    folder = place.folder / "model"
    folder.mkdir()
    (folder / "own.py").write_text(place.code)
    (folder / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": MAPS}))
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return transformers_model("net", 8, str(folder), {}, COLOURS, COMPUTE)(np.zeros((1, 32, 32), np.uint8))


def open_clip(spoil: Callable[[dict[str, Any], Path, Place], Any]) -> Callable[[Place], Any]:
    def act(place: Place) -> Any:
        from evaluators.encoders.open_clip_model import open_clip_model

        folder = place.copied(place.clip)
        edited(folder / "open_clip_config.json", lambda content: spoil(content["model_cfg"], folder, place))
        made = open_clip_model("net", 8, str(folder), {}, COLOURS, COMPUTE)
        made(np.zeros((1, 32, 32), np.uint8))
        return made.texts(["a"])

    return act


def trusting(config: dict[str, Any], folder: Path, place: Place) -> None:
    """Its own configuration hands the tokenizer the switch that starts code."""
    config["text_cfg"] |= {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}
    (folder / "own.py").write_text(place.code)
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": MAPS}))


def asking(config: dict[str, Any], folder: Path, place: Place) -> None:
    """The text half lies in another folder, which nobody looked at."""
    theirs = place.folder / "theirs"
    theirs.mkdir()
    (theirs / "own.py").write_text(place.code)
    (theirs / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": MAPS}))
    config["text_cfg"] |= {"hf_model_name": str(theirs)}


def fetched(config: dict[str, Any], folder: Path, place: Place) -> None:
    config["vision_cfg"] = {"timm_model_name": "hf-hub:theirs/network", "image_size": 32}


def vlm(spoil: Callable[[Path, Place], Any]) -> Callable[[Place], Any]:
    def act(place: Place) -> Any:
        from evaluators.filters.vision_language import VisionLanguage

        folder = place.copied(place.vlm)
        spoil(folder, place)
        answers = ["High Quality", "Low Quality"]
        return VisionLanguage(str(folder), meta_prompt="{description}", answers=answers, device="cpu").pipeline

    return act


def mapped_here(file: str) -> Callable[[Path, Place], Any]:
    return lambda folder, place: mapped(".", file)(folder, place)


# hubs


def hub(revision: str | None) -> Callable[[Place], Any]:
    return lambda place: Location.of("generator", "theirs/network", revision).folder(["*.json"])


def origin(place: Place) -> Any:
    return Weights.of("net", None, {"hub": "theirs/network", "revision": "main"}, (("model.safetensors",),)).files()


CASES: dict[str, tuple[Callable[[Place], Any], str | None]] = {
    "pickle .pt": (weights("w.pt", plain), NOT_PLAIN),
    "pickle .pth": (weights("w.pth", plain), NOT_PLAIN),
    "pickle .bin": (weights("w.bin", plain), NOT_PLAIN),
    "torch archive": (weights("w.pt", lambda path, at: torch.save({"a": Payload(at.canary)}, path)), NOT_PLAIN),
    "torch, old format": (
        weights("w.pt", lambda path, at: torch.save(Payload(at.canary), path, _use_new_zipfile_serialization=False)),
        NOT_PLAIN,
    ),
    "torch script": (weights("w.pt", script), NOT_PLAIN),
    "tar": (weights("w.pt", tarred), NOT_PLAIN),
    "zip": (weights("w.pt", zipped), NOT_PLAIN),
    "objects as .npy": (weights("w.npy", numbers), NOT_PLAIN),
    "link to a pickle": (weights("w.pt", linked), NOT_PLAIN),
    "pickle .safetensors": (weights("w.safetensors", plain), NOT_PLAIN),
    "safetensors, header too long": (weights("w.safetensors", safetensors(b"{}", 2**40)), NOT_PLAIN),
    "safetensors, header no JSON": (weights("w.safetensors", safetensors(b"{]")), NOT_PLAIN),
    "kept features": (features, "Python objects in dtype"),
    "kept training": (trained, "allow_pickle"),
    "picture: pickle": (picture("a.png", plain), "pickle, archive or array"),
    "picture: array": (picture("a.png", numbers), "pickle, archive or array"),
    "picture: archive": (picture("a.jpg", zipped), "pickle, archive or array"),
    "parquet: pickle as picture": (
        finished(table(lambda at: {"bytes": at.pickled, "path": None})),
        "pickle, archive or array",
    ),
    "parquet: picture by path": (
        finished(table(lambda at: {"bytes": None, "path": "/etc/hostname"})),
        "holds no image file",
    ),
    "parquet: type of Python's": (
        finished(table(lambda at: {"bytes": at.pickled, "path": None}, metadata=extension)),
        "pickle, archive or array",
    ),
    "parquet: a pickle": (finished(plain), "not a whole parquet file"),
    "index: library": (diffusers(index(unet=["evil", "Unet"])), "nothing is imported from elsewhere"),
    "index: module below a library": (diffusers(index(unet=["diffusers.evil", "X"])), "unet"),
    "index: no model of the library": (diffusers(index(vae=["transformers", "pipeline"])), "is no model, scheduler"),
    "index: own pipeline": (diffusers(index(_class_name=["evil", "Pipeline"])), "custom code, which is never run"),
    "index: pipeline in a file": (diffusers(index(_class_name="evil.py")), "custom code, which is never run"),
    "index: deep": (diffusers(written("model_index.json", '{"a":' + "[" * 100_000)), "model_index.json: not JSON"),
    "index: twice the same key": (
        diffusers(written("model_index.json", '{"_class_name": "StableDiffusionPipeline", "_class_name": ["e", "P"]}')),
        "custom code, which is never run",
    ),
    "part: auto_map, unet": (diffusers(mapped("unet", "config.json")), CODE_REFUSED),
    "part: auto_map, text encoder": (diffusers(mapped("text_encoder", "config.json")), CODE_REFUSED),
    "part: auto_map, tokenizer": (diffusers(mapped("tokenizer", "tokenizer_config.json")), CODE_REFUSED),
    "part: auto_map, tokenizer the files choose": (
        diffusers(mapped("tokenizer", "tokenizer_config.json"), components=AUTO),
        CODE_REFUSED,
    ),
    "part: auto_map, below": (diffusers(mapped("vae/below", "config.json")), CODE_REFUSED),
    "part: auto_map, scheduler": (diffusers(mapped("scheduler", "scheduler_config.json")), CODE_REFUSED),
    "part: code below": (diffusers(coded("unet/below/model.py")), CODE_REFUSED),
    "part: link": (diffusers(elsewhere), CODE_REFUSED),
    "part: pickle for unet": (
        diffusers(only_pickled("unet", "diffusion_pytorch_model.bin")),
        "such a file can run code",
    ),
    "part: pickle for text": (diffusers(only_pickled("text_encoder", "pytorch_model.bin")), "such a file can run code"),
    "part: NaN": (
        diffusers(written("scheduler/scheduler_config.json", '{"beta_end": NaN, "auto_map": {"a": "b.C"}}')),
        CODE_REFUSED,
    ),
    "part: the switch as a setting": (
        diffusers(lambda folder, at: None, components=SWITCH),
        "does not load as AutoTokenizer",
    ),
    "part: class of Python's": (
        diffusers(lambda folder, at: None, components={"unet": {"class": "os.system"}}),
        "nothing is imported from elsewhere",
    ),
    "adapter: pickle": (
        lambda at: sampled(at, untouched, lora={"path": str(at.folder / "lora"), "file": "lora.bin"}),
        "must be a safetensors file",
    ),
    "adapter: file outside": (
        lambda at: sampled(at, untouched, lora={"path": str(at.folder / "lora"), "file": "../lora.safetensors"}),
        "must be a safetensors file",
    ),
    "encoder: auto_map": (encoder, "no loadable network"),
    "open_clip: the switch in its configuration": (open_clip(trusting), CODE_REFUSED),
    "open_clip: text half elsewhere": (open_clip(asking), "no text half"),
    "open_clip: image half from a hub": (open_clip(fetched), "takes its image half from elsewhere"),
    "filter: auto_map": (vlm(mapped_here("processor_config.json")), CODE_REFUSED),
    "filter: code below": (vlm(coded("below/model.py")), CODE_REFUSED),
    "hub: branch": (hub("main"), "needed the 40 hex digits"),
    "hub: short commit": (hub("110cbc18"), "needed the 40 hex digits"),
    "hub: no commit": (hub(None), "needed the 40 hex digits"),
    "hub: branch of an encoder": (origin, "needed the 40 hex digits"),
}


def test_the_canaries_sing(tmp_path: Path) -> None:
    """Whoever unpickles one, or runs the code of one, sees it: else none of these tests would say anything."""
    place = Place(tmp_path, tmp_path / "canary", tmp_path, tmp_path, tmp_path)
    pickle.loads(place.pickled)
    assert place.canary.is_dir()
    place.canary.rmdir()
    exec(place.code, {})
    assert place.canary.is_dir()


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_it_runs(case: str, place: Place, asked: list[str]) -> None:
    act, said = CASES[case]
    with pytest.raises((BenchError, ValueError), match=said):
        act(place)
    assert not place.canary.exists(), "code of the artefact ran"
    assert not asked, f"a question was asked at the terminal: {asked}"
