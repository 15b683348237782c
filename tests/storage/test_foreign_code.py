"""Code that comes with weights is found wherever it lies, and no library asks whether to run it."""

from __future__ import annotations

import builtins
import json
from contextlib import suppress
from pathlib import Path

import pytest

from bench.api import BenchError
from bench.storage.foreign_code import check_no_code, read_configuration, unasked

MAPS = '{"auto_map": {"AutoTokenizer": "x.Y"}}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("modeling.py", ""),
        ("below/and/below.py", ""),
        ("kernel.so", ""),
        ("tokenizer_config.json", MAPS),
        ("below/config.json", MAPS),
        ("preprocessor.json", f'{{"inner": [{MAPS}]}}'),
        ("config.json", '{"custom_pipelines": {"x": {"impl": "y.Z"}}}'),
    ],
)
def test_code_of_its_own_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text('{"auto_map": null}')
    check_no_code(tmp_path, "choose another model")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(BenchError, match=rf"{name}: this part brings code of its own.*choose another model"):
        check_no_code(tmp_path, "choose another model")


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("{", "[" * 100_000, "\ufeff{}"):
        path.write_text(text)
        with pytest.raises(BenchError, match=r"config\.json: not JSON .*copy the model again"):
            read_configuration(path)


def test_a_library_that_would_ask_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda text="": asked.append(text) or "y")
    maps = {"AutoConfig": "own.Config", "AutoTokenizer": ["own.Tokenizer", None]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": maps}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nclass Config: pass\n")
    with unasked(), pytest.raises(ValueError, match="custom code"):
        transformers.AutoConfig.from_pretrained(tmp_path)
    assert not asked and not (tmp_path / "canary").exists()
    # the question is what this guards against: without it the answer counts
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    with suppress(Exception):  # whatever becomes of a class that is none
        transformers.AutoConfig.from_pretrained(tmp_path)
    assert asked and (tmp_path / "canary").exists()
