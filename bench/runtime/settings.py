"""Every setting of a run, judged before anything heavy is imported or any data are read.

The top level of ``conf/config.yaml`` has its types here; what a part of the run takes, its signature says. Names follow
the rule that the leaderboard has.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from bench.api import BenchError
from bench.runtime.device import device_faults
from bench.runtime.plugin_settings import setting_faults, shown, unknown
from bench.runtime.plugins import TARGET, resolve
from bench.runtime.setting_types import Seed
from bench.storage.names import path_name_faults
from bench.storage.private_text import forms_found, without_secrets

_NAME = """text; a number as text is 'name="2024"', one that is looked up has a letter before it: name='s${seed}'"""
_COUNT = "null or a whole number of 0 or more"
_DEVICE = "auto, or a kind of device with or without its number: cpu, cuda, cuda:1"
Limit = Annotated[int | None, Field(ge=0, description=_COUNT)]
Show = Literal["headline", "all"]
Text = Annotated[str, Field(min_length=1, description="text")]


class Section(BaseModel):
    """Settings by name; what nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class Requests(Section):
    """``requests``: how many images to ask for."""

    fidelity: Limit = None
    utility: Limit = None
    privacy: Limit = None


class Wandb(Section):
    """``wandb``: where a copy of the record goes."""

    mode: Literal["offline", "online", "disabled"] = Field(description="offline, online or disabled")
    project: Text
    entity: str | None = Field(None, description="text or null")
    group: str | None = Field(None, description="text or null")
    tags: list[str] = Field(description="""a list of texts; a number as text is 'wandb.tags=["2024"]'""")
    timeout_seconds: float = Field(gt=0, description="a number above 0")


class Settings(BaseModel):
    """The top level of the configuration, less what is chosen from groups; a user's own keys may stand beside it."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description=_NAME)
    seed: Seed
    fit_seed: Seed
    evaluation_seed: Seed
    requests: Requests
    documentation: dict[str, str | int | float | None] = Field(description="text or null for each field")
    objective: str | None = Field(None, description="null or evaluator/metric/encoder")
    sweep: str | None = Field(None, description="text or null")
    blank_tolerance: int = Field(ge=0, description="a whole number of 0 or more")
    dry_run: bool = Field(description="true or false")
    show: Show = Field("headline", description="headline or all")
    device: str = Field(pattern=r"^[a-z]+(:\d+)?$", description=_DEVICE)
    threads: int = Field(ge=1, description="a whole number of 1 or more")
    runs: Text
    cache: Text
    allow: list[str] = Field(description="a list of names, e.g. [mylab]")
    wandb: Wandb


class ValiditySettings(Settings):
    """The top level of ``conf/validity.yaml``."""

    images: int | None = Field(ge=1, description="null or a whole number of 1 or more")
    draws: int = Field(ge=1, description="a whole number of 1 or more")


class CompareSettings(BaseModel):
    """The top level of ``conf/compare.yaml``, which has no data set, no generator and no folder of a run."""

    model_config = ConfigDict(extra="allow")

    seed: Seed
    device: str = Field(pattern=r"^[a-z]+(:\d+)?$", description=_DEVICE)
    threads: int = Field(ge=1, description="a whole number of 1 or more")
    cache: str | None = Field(min_length=1, description="null or text")
    allow: list[str] = Field(description="a list of names, e.g. [mylab]")


class SplitSettings(Settings):
    """The top level of ``conf/split.yaml``."""

    out: str | None = Field(description="a folder: out=my_split")
    kind: Literal["lists", "imagefolder", "parquet"] = Field(description="lists, imagefolder or parquet")
    csv: str | None = Field(description="null or a file")
    patient: str | None = Field(description="null or the name of a column")
    label: str | list[str] | None = Field(description="null, the name of a column, or several: label=[A,B]")
    test_fraction: float = Field(gt=0, lt=1, description="a number between 0 and 1")


def check_settings(config: DictConfig, model: type[BaseModel] = Settings) -> None:
    """Judge a composed configuration, the node ``hydra`` included; imports the modules of the chosen parts, and
    torch only for a device that is none of the usual ones.

    Raises:
        BenchError: one line for each setting that is not what it has to be.
    """
    plain = _plain(config)
    # the later ones import more: the modules of the parts, and for an unusual device torch
    first = [*_top_level(plain, model), *_names(plain, config), *_folders(plain)]
    for faults in (first, _parts(plain), _device(plain)):
        if found := "\n".join(dict.fromkeys(faults)):
            raise BenchError(found)


def _plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain Python, interpolations resolved, without Hydra's own."""
    kept = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(copy.deepcopy(config))
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise BenchError(f"{where}{without_secrets(str(error).splitlines()[0])}; correct that setting") from error
    finally:
        HydraConfig.instance().cfg = kept
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _top_level(plain: Mapping[str, Any], model: type[BaseModel]) -> Iterator[str]:
    try:
        model.model_validate(plain, strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            place = [str(part) for part in each["loc"] if part in _keys(plain)]
            where = ".".join(place)
            if each["type"] == "extra_forbidden":
                yield unknown(".".join(place[:-1]), place[-1], _fields(model, place[:-1]))
                continue
            if each["type"] == "missing":
                yield f"{'.'.join(map(str, each['loc']))} is not set, needed {_description(model, place)}"
                continue
            yield f"{where} is {shown(_value(plain, place), place[-1])}, needed {_description(model, place)}"


def _keys(plain: Any) -> set[Any]:
    """All keys at any depth: what else pydantic puts into a place names a type, not a setting."""
    if not isinstance(plain, Mapping):
        return set()
    return set(plain).union(*map(_keys, plain.values()))


def _value(plain: Any, place: list[str]) -> Any:
    for key in place:
        plain = plain[key] if isinstance(plain, Mapping) and key in plain else None
    return plain


def _description(model: type[BaseModel], place: list[str]) -> str:
    """What the deepest field on the way to ``place`` is described to need."""
    needed = "another value"
    for depth, key in enumerate(place):
        if field := _fields(model, place[:depth]).get(key):
            texts = (each for each in field.metadata if isinstance(each, str))
            needed = field.description or next(texts, "settings by name")
    return needed


def _fields(model: type[BaseModel], place: list[str]) -> Mapping[str, FieldInfo]:
    """The settings that the section at ``place`` has."""
    fields: Mapping[str, FieldInfo] = model.model_fields
    for key in place:
        inner = fields[key].annotation if key in fields else None
        fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else {}
    return fields


def _names(plain: Mapping[str, Any], config: DictConfig) -> Iterator[str]:
    chosen = OmegaConf.select(config, "hydra.runtime.choices.dataset")
    names = {"name": plain.get("name"), "sweep": plain.get("sweep"), "dataset": chosen}
    dataset = plain.get("dataset")
    names |= {"dataset.name": dataset.get("name")} if isinstance(dataset, Mapping) else {}
    names |= {f"{group}.{name}": name for group in ("evaluator", "encoder") for name in plain.get(group) or {}}
    for where, name in names.items():
        if isinstance(name, str) and (kinds := forms_found(name)):
            yield f"{where} holds {', '.join(kinds)}, and names stand in records and links; give another {where}"
        elif isinstance(name, str):
            for fault in path_name_faults(name):
                yield f"{where}: {fault}; give another {where}"


def _folders(plain: Mapping[str, Any]) -> Iterator[str]:
    """What stands in the way of the folders that a run makes; a cache that is there may have all that is needed."""
    for name in ("runs", "cache"):
        if not isinstance(plain.get(name), str) or not plain[name]:
            continue
        if "\0" in plain[name]:
            yield f"{name} is {shown(plain[name])}, needed a path without a NUL character"
            continue
        path = Path(plain[name]).absolute()
        there = next(each for each in (path, *path.parents) if os.path.lexists(each))
        if not there.is_dir():
            yield f"{name} is {shown(plain[name])}, needed a folder, but {there} is none; name another with {name}=..."
        elif (name == "runs" or there != path) and not plain.get("dry_run") and not os.access(there, os.W_OK | os.X_OK):
            yield f"{name} is {shown(plain[name])}, but nothing can be made in {there}; name another with {name}=..."


def _device(plain: Mapping[str, Any]) -> Iterator[str]:
    yield from device_faults(plain["device"])


def _parts(plain: Mapping[str, Any]) -> Iterator[str]:
    """What the parts of the run would not take."""
    for name in ("dataset", "generator", "filter"):
        yield from _part(name, plain.get(name))
    for group in ("encoder", "evaluator"):
        parts = plain.get(group) or {}
        if not isinstance(parts, Mapping):
            yield f"{group} is {shown(parts, group)}, needed a list of names: '{group}=[...]'"
            continue
        for name, part in parts.items():
            yield from _part(f"{group}.{name}", part)


def _part(where: str, part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping):
        if part is not None:
            yield f"{where} is {shown(part, where)}, needed settings with a {TARGET}"
        return
    taker = _taker(part.get(TARGET))
    if taker is not None:
        settings = {str(name): value for name, value in part.items() if not str(name).startswith("_")}
        yield from setting_faults(taker, settings, where)
    for name, inner in part.items():
        if isinstance(inner, Mapping):
            yield from _part(f"{where}.{name}", inner)


def _taker(target: Any) -> Callable[..., Any] | None:
    """The class or function of this project that ``target`` names; nothing else is imported, and gives ``None``."""
    try:
        return resolve(target, object)
    except BenchError:
        return None  # building the part says why
