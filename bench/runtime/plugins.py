"""From configuration to objects: only code the user meant to run is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig

from bench.api import BenchError, Encoder

TRUSTED = ("bench.", "generators.", "evaluators.")


def build(config: DictConfig, allow: Sequence[str] = ()) -> Any:
    """Instantiate ``config._target_`` with the settings beside it.

    Args:
        allow: top-level packages the user trusts besides this project's own, e.g. ``["mylab"]``.

    Raises:
        BenchError: the target lies elsewhere (``_target_`` would execute whatever it names), cannot be imported,
            or does not take the settings.
    """
    trusted = (*TRUSTED, *(f"{package.rstrip('.')}." for package in allow))
    for target in _targets(config):
        if not target.startswith(trusted):
            package = target.split(".", 1)[0]
            raise BenchError(
                f"_target_ {target!r} is outside {', '.join(trusted)} and was not imported; "
                f"if you trust the package, add allow=[{package}]"
            )
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, BenchError):
            raise cause from error
        raise BenchError(f"cannot build {config.get('_target_')}: {cause or error}") from error


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, DictConfig):
        for key in config:
            if key == "_target_":
                yield str(config[key])
            else:
                yield from _targets(config[key])
    elif isinstance(config, ListConfig):
        for item in config:
            yield from _targets(item)


class Encoders(Mapping[str, Encoder]):
    """The configured encoders by name; each is built once, when first asked for."""

    def __init__(self, config: DictConfig, allow: Sequence[str] = ()) -> None:
        self._config = config
        self._allow = allow
        self._built: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._config:
            raise BenchError(
                f"encoder {name!r} is not configured; this run has {sorted(self)}: add it with encoder=[...,{name}]"
            )
        if name not in self._built:
            self._built[name] = build(self._config[name], self._allow)
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._config

    def __iter__(self) -> Iterator[str]:
        return (str(name) for name in self._config)

    def __len__(self) -> int:
        return len(self._config)
