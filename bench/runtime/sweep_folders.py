"""Where each job of a sweep writes, known before it starts: two that share a folder leave the numbers of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from bench.api import BenchError
from bench.storage.names import path_name_faults
from bench.storage.private_text import names_secret

Overrides = tuple[str, ...]


class Folders:
    """The folders of one sweep's jobs.

    Args:
        loader: composes the jobs, as every launcher has it do.
        config: that of the sweep.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._judged: set[Overrides] = set()
        self._owners: dict[Path, tuple[Overrides, int]] = {}

    def claim(self, overrides: Overrides, number: int) -> None:
        """Compose a job and keep its folder for it; a job with the very same overrides may have it again.

        Raises:
            BenchError: its settings are judged wrong, or another job of the sweep writes its folder.
            HydraException: it cannot be composed.
            OmegaConfBaseException: its folder depends on what is not there.
        """
        if overrides in self._judged:
            return
        job = self._composed(overrides, number)
        if job.folder in self._owners:
            raise BenchError(_shared(self._composed(*self._owners[job.folder]), job))
        self._owners[job.folder] = overrides, number
        self._judged.add(overrides)

    def _composed(self, overrides: Overrides, number: int) -> _Job:
        config = self._loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config.hydra.job):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
        return _Job(overrides, number, config)


@dataclass(frozen=True)
class _Job:
    overrides: Overrides
    number: int
    config: DictConfig

    @cached_property
    def folder(self) -> Path:
        """As Hydra finds it when it starts the job."""
        kept = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(self.config)
        try:
            parts = [str(OmegaConf.select(self.config, f"hydra.sweep.{part}")) for part in ("dir", "subdir")]
        finally:
            HydraConfig.instance().cfg = kept
        return Path(*parts).resolve()

    @cached_property
    def given(self) -> dict[str, str]:
        """The overrides by key."""
        return dict(each.lstrip("+").partition("=")[::2] for each in self.overrides)

    @cached_property
    def settings(self) -> Any:
        plain: Any = OmegaConf.to_container(self.config)
        return {key: value for key, value in plain.items() if key != "hydra"}

    def told(self, keys: list[str]) -> str:
        own = ", ".join(f"{key}={self.given[key]}" for key in keys if key in self.given)
        return f"{self.number} ({own or 'without these settings'})"

    def name(self, keys: list[str]) -> str | None:
        """A name that tells jobs apart by ``keys``; none where one of them has values that cannot stand in a name."""
        named = {key: self._word(key) for key in keys}
        if not all(named.values()):
            return None
        if "name" in self.given:
            return "_".join([self.given["name"], *filter(None, named.values())])
        # what the default name would have told apart
        own = {key: self._word(key) for key in sorted(self.given) if key.startswith("generator.")}
        return "_".join(["${hydra:runtime.choices.generator}", *filter(None, (own | named).values())])

    def _word(self, key: str) -> str | None:
        if key in self.config.hydra.runtime.choices:
            return f"${{hydra:runtime.choices.{key}}}"
        value = OmegaConf.select(self.config, key)
        private = "oc.env" in self.given.get(key, "") or any(map(names_secret, key.split(".")))
        if private or not isinstance(value, str | int | float) or any(path_name_faults(str(value))):
            return None
        return f"${{{key}}}"


def _shared(one: _Job, other: _Job) -> str:
    keys = [key for key in one.given | other.given if one.given.get(key) != other.given.get(key)]
    both = f"jobs {one.told(keys)} and {other.told(keys)} of this sweep both write {other.folder}"
    if one.settings == other.settings:
        return f"{both}: their settings have the same values; leave one of them out"
    name = other.name(keys)
    example = (
        f"give them names of their own: add 'name={name}'" if name else "start each alone, with name=... of its own"
    )
    return f"{both}, where only one of them would stay; {example}"
