"""Configuration files of others are data: what would start code in Hydra itself is refused before it takes effect.

Hydra instantiates callbacks, log handlers, launchers and sweepers, some of them before any function of this project is
called. Every file is judged here while Hydra composes, so that the same holds for one run, a sweep, ``--cfg`` and the
processes that a launcher starts. What a person gives on the command line is not judged.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

import bench.runtime.dataset_place  # the folder of runs, wherever this loader composes
import bench.runtime.variant  # noqa: F401 - the default name, wherever this loader composes
from bench.runtime.search import own_packages_first

OURS = Path(__file__).resolve().parents[2] / "conf"
INSTALLED = ("hydra.conf", "hydra_plugins")  # packages whose own configuration comes with their code
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
FROM_ENVIRONMENT = re.compile(r"\$\{oc\.env:\w+(,[\w./-]*)?\}", re.ASCII)

# What a file of others may set below ``hydra``. Of the launchers and sweepers: how much of what, where and how long;
# nothing that ends in a shell (``setup``, ``additional_parameters`` ...), is opened (``storage``) or evaluated.
HARMLESS = ("mode", "verbose")
LAUNCHERS = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
)
RESOURCES = (
    *("n_jobs", "verbose", "timeout", "batch_size", "prefer", "require", "max_nbytes"),
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name"),
    *("stderr_to_stdout", "partition", "qos", "comment", "constraint", "exclude", "gres", "cpus_per_gpu"),
    *("gpus_per_task", "mem_per_gpu", "mem_per_cpu", "account", "signal_delay_s", "max_num_timeout"),
    "array_parallelism",
)
SWEEPERS = (
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
)
SEARCH = ("max_batch_size", "direction", "study_name", "n_trials", "n_jobs", "max_failure_rate")
SPACES = ("params", "search_space")
SAMPLERS = tuple(
    f"optuna.samplers.{kind}Sampler" for kind in ("TPE", "Random", "CmaEs", "NSGAII", "Grid", "QMC", "GP", "BruteForce")
)


# at import, which is the first that a launcher's process does with what it was handed: to compose is to import the
# generator's class for the default name
own_packages_first()


class Finding(NamedTuple):
    """A setting of Hydra's, or of trust, in a file that is not this project's."""

    key: str
    file: str


class ForeignSetting(ConfigCompositionException):
    """A configuration file that is not this project's decides what only a person may decide."""


def refuse_foreign() -> None:
    """Have Hydra judge the files it composes a configuration from. Once in a process, before ``hydra.main`` acts.

    Then a composition raises ``ForeignSetting`` where a file that does not come with this project or with Hydra sets
    ``allow``, or a key of Hydra's beyond those listed here that ``allow`` does not name.
    """
    # the loader travels to the processes of a launcher, and with it its class
    importlib.import_module("hydra._internal.hydra").ConfigLoaderImpl = JudgedLoader  # type: ignore[attr-defined]
    importlib.import_module("hydra.main")._get_rerun_conf = _no_pickle  # type: ignore[attr-defined]


def _no_pickle(*_: Any) -> NoReturn:
    sys.exit("--experimental-rerun opens a pickle, which can run code; start the run with its settings instead")


class JudgedLoader(ConfigLoaderImpl):
    """Composes as Hydra does, and knows which setting came out of a file of others."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._found: list[Finding] = []

    def _load_configuration_impl(self, *given: Any, **named: Any) -> DictConfig:
        self._found = []
        config = super()._load_configuration_impl(*given, **named)
        allow = allowed(config)
        for key, file in self._found:
            if not any(f"{key}.".startswith(f"{name}.") for name in allow):
                raise ForeignSetting(_reason(key, file))
        _check_folder(config)
        return config

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        # before it is followed: a package on the search path is imported
        primary = repo.load_config(config_path=config_name) if config_name else None
        file = foreign(primary, config_name) if primary is not None and config_name else None
        if primary is not None and file and OmegaConf.select(primary.config, "hydra.searchpath") is not None:
            raise ForeignSetting(
                f"hydra.searchpath in {file}: packages named there would be imported; give it on the command line"
            )
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        path = default.config_path
        read = repo.load_config(config_path=path) if path else None
        if read is not None and path and (file := foreign(read, path)):
            # as the file has it: Hydra completes it from a schema below
            plain: Any = OmegaConf.to_container(read.config)
            if isinstance(plain, dict):
                plain.pop("defaults", None)
            placed = self._embed_result_config(replace(read, config=OmegaConf.create(plain)), default.package).config
            self._found += [Finding(key, file) for key in judged(placed)]
            if self._found and self._found[-1].key == "allow":
                raise ForeignSetting(_reason(*self._found[-1]))
        return super()._load_single_config(default, repo)


def allowed(config: DictConfig) -> tuple[str, ...]:
    """What the user allows, by ``allow`` on the command line or ``BENCH_ALLOW``; no other file of others can.

    Raises:
        ForeignSetting: it is no list of names.
    """
    names: Any = OmegaConf.select(config, "allow")
    if names is None:
        return ()
    if isinstance(names, str) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise ForeignSetting(
            f"allow is {names!r}, needed a list of names, such as allow=[mylab] or BENCH_ALLOW=[mylab]"
        )
    return tuple(names)


def foreign(read: ConfigResult, path: str) -> str | None:
    """The file that ``read`` was read from, ``None`` if it came with this project, with Hydra or with a plug-in of it.

    ``path`` may lead out of the folder that is searched, so what counts is where the file lies.
    """
    scheme, _, place = read.path.partition("://")
    if scheme == "structured":
        return None
    name = path if path.endswith((".yaml", ".yml")) else f"{path}.yaml"
    folders = [Path(place)] if scheme == "file" else _folders(place)
    trusted = [OURS, *(folder for package in INSTALLED for folder in _folders(package))]
    files = [(folder / name).resolve() for folder in folders]
    files = [file for file in files if file.exists()] or files
    if files and all(any(file.is_relative_to(home.resolve()) for home in trusted) for file in files):
        return None
    return str(files[0]) if files else f"{read.path}/{name}"


def _folders(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def judged(config: Any) -> Iterator[str]:
    """The keys of a file, placed where it belongs in the whole, that only a person may set."""
    if not isinstance(config, DictConfig):
        return
    plain: Any = OmegaConf.to_container(config)  # interpolations as they are written
    hydra = plain.get("hydra", {})
    for key, value in hydra.items() if isinstance(hydra, dict) else [("", hydra)]:
        if key == "launcher":
            yield from _launcher(value)
        elif key == "sweeper":
            yield from _sweeper(value)
        elif key not in HARMLESS:
            yield from _leaves(f"hydra.{key}".rstrip("."), value)
    if plain.get("allow", []) != []:
        yield "allow"


def _launcher(value: Any) -> Iterator[str]:
    for key, each in _entries("hydra.launcher", value):
        name = key.rpartition(".")[2]
        if not (each in LAUNCHERS if name == "_target_" else name in RESOURCES and _is_plain(each)):
            yield from _leaves(key, each)


def _sweeper(value: Any) -> Iterator[str]:
    for key, each in _entries("hydra.sweeper", value):
        name = key.rpartition(".")[2]
        if name == "sampler":
            yield from _sampler(each)
        elif name in SPACES:
            yield from _space(key, each)
        elif not (each in SWEEPERS if name == "_target_" else name in SEARCH and _is_plain(each)):
            yield from _leaves(key, each)


def _sampler(value: Any) -> Iterator[str]:
    for key, each in _entries("hydra.sweeper.sampler", value):
        if not (each in SAMPLERS if key.endswith("._target_") else _is_plain(each)):
            yield from _leaves(key, each)


def _space(key: str, value: Any) -> Iterator[str]:
    """What is swept over becomes overrides, as if it stood on the command line."""
    if value is None:
        return
    if not isinstance(value, dict):
        yield key
        return
    for setting, each in value.items():
        parts = re.split(r"[./]", str(setting))
        if not (all(map(str.isidentifier, parts)) and parts[0] not in ("allow", "hydra") and _is_plain(each)):
            yield from _leaves(f"{key}.{setting}", each)


def _entries(key: str, value: Any) -> list[tuple[str, Any]]:
    """The entries of a mapping by their whole keys; of anything else, itself."""
    return [(f"{key}.{name}", each) for name, each in value.items()] if isinstance(value, dict) else [(key, value)]


def _is_plain(value: Any) -> bool:
    """Numbers and words on one line, nothing that is made, looked up elsewhere or has a line of its own in a script."""
    if isinstance(value, dict):
        return all(str(key).isidentifier() and key[0] != "_" and _is_plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return bool(FROM_ENVIRONMENT.fullmatch(value)) or not ("${" in value or CONTROL.search(value))
    return value is None or isinstance(value, bool | int | float)


def _leaves(key: str, value: Any) -> Iterator[str]:
    """The whole key of every value below ``key``: whoever allows one has not allowed the others."""
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(f"{key}.{name}", each)
    else:
        yield key


def _reason(key: str, file: str) -> str:
    if key == "allow":
        return (
            f"allow in {file}: what may start code is decided by you and not by a file; name it on the command line, "
            "allow=[...], or in the environment, BENCH_ALLOW=[...]"
        )
    depth = 3 if key.startswith(("hydra.launcher.", "hydra.sweeper.")) else 2
    return (
        f"{key} in {file}: a file that did not come with this project may not set it, since it decides what is started "
        f"or written, or could; give it on the command line, or, if you have read the file and trust it, add "
        f"allow=[{'.'.join(key.split('.')[:depth])}]"
    )


def _check_folder(config: DictConfig) -> None:
    """A line break in the folder of a sweep would begin a command in the batch script that a launcher writes."""
    place: Any = None
    with suppress(Exception):  # what cannot be known yet is not known to the launcher either
        place = OmegaConf.select(config, "hydra.sweep.dir")
    if isinstance(place, str) and CONTROL.search(place):
        raise ForeignSetting(f"hydra.sweep.dir, and so runs, is {place!r}: a folder's name has no line breaks")
