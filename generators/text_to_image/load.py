"""From checked files to a pipeline, part by part, with a full account of what it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.checkpoints import folder_digest
from bench.storage.foreign_code import read_configuration
from generators.text_to_image.settings import Component, Settings
from generators.text_to_image.source import (
    FILES,
    LIBRARIES,
    check_files,
    commit,
    components,
    read_index,
    resolve,
)

AUTOMATIC = ("AutoModel", "AutoTokenizer")  # classes that read from the files which class to build
SCHEDULER_FACTS = (
    "prediction_type",
    "beta_schedule",
    "timestep_spacing",
    "shift",
    "flow_shift",
    "algorithm_type",
    "use_flow_sigmas",
)


def load_pipeline(settings: Settings) -> tuple[Any, dict[str, Any]]:
    """The pipeline and its facts.

    Raises:
        BenchError: anything refused by ``source``, a part that is missing, does not load or does not fit.
    """
    silence()
    assembled = bool(settings.pipeline and not settings.path)
    folder = None if assembled else resolve(settings, "generator")
    index = read_index(folder, "generator") if folder else {}
    kind = pipeline_class(settings.pipeline or index["_class_name"])
    accepted = inspect.signature(kind.__init__).parameters
    unknown = settings.components.keys() - accepted.keys()
    if unknown:
        raise BenchError(f"generator.components: {kind.__name__} has no {sorted(unknown)}; it has {sorted(accepted)}")
    parts: dict[str, Any] = {name: value for name, value in index.items() if name in accepted and _plain(value)}
    account: dict[str, Any] = {}
    for name, part in _parts(settings, folder, index, accepted).items():
        parts[name], account[name] = part.load() if part else (None, {"class": None})
    if "requires_safety_checker" in accepted:
        parts["requires_safety_checker"] = False
    pipeline = _assemble(kind, parts)
    return pipeline, _facts(pipeline, settings, account)


def silence() -> None:
    """No progress bars and no advice from the two libraries; what matters is raised or recorded."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()


def pipeline_class(name: str) -> Any:
    """The diffusers pipeline called ``name``."""
    import diffusers

    found = getattr(diffusers, name, None)
    if not (inspect.isclass(found) and issubclass(found, diffusers.DiffusionPipeline)):
        raise BenchError(f"generator: {name!r} is no pipeline of diffusers {diffusers.__version__}")
    return found


def component_class(name: str, setting: str) -> Any:
    """The class ``diffusers.NAME`` or ``transformers.NAME``, if it is a model, scheduler, tokenizer or processor.

    Raises:
        BenchError: another library (refused before import), or no such class.
    """
    library, _, kind = name.partition(".")
    if library not in LIBRARIES or not kind.isidentifier():
        allowed = " or ".join(f"{each}.NAME" for each in LIBRARIES)
        raise BenchError(f"{setting}.class is {name!r}; nothing is imported from elsewhere than {allowed}")
    import diffusers
    import transformers

    loadable = (
        diffusers.ModelMixin,
        diffusers.SchedulerMixin,
        transformers.PreTrainedModel,
        transformers.PreTrainedTokenizerBase,
        transformers.FeatureExtractionMixin,
        transformers.ProcessorMixin,
    )
    found = getattr({"diffusers": diffusers, "transformers": transformers}[library], kind, None)
    if not inspect.isclass(found) or not (kind in AUTOMATIC or issubclass(found, loadable)):
        raise BenchError(f"{setting}.class: {name} is no model, scheduler, tokenizer or processor of {library}")
    return found


@dataclass(frozen=True)
class Part:
    """One component of a pipeline, before it is loaded.

    ``kind`` is its class, ``folder`` its files; ``component`` says what is to differ from them.
    """

    setting: str
    kind: Any
    folder: Path | None
    component: Component
    precision: str
    remote_code: bool

    @property
    def _chosen(self) -> bool:
        """Whether the settings name the very class to build, so that code beside the weights is never looked at."""
        return self.component.kind is not None and self.kind.__name__ not in AUTOMATIC

    def load(self) -> tuple[Any, dict[str, Any]]:
        """The component and its facts."""
        account: dict[str, Any] = {"class": f"{self.kind.__module__.split('.')[0]}.{self.kind.__name__}"}
        if self.component.path:
            account |= {"path": self.component.path, "revision": commit(self.component)}
        if self.component.config:
            account["config"] = self.component.config
        if self.folder is None:
            return self._scheduler(), account
        check_files(self.folder, code_allowed=self.remote_code or self._chosen, setting=self.setting)
        account["sha256"] = folder_digest(self.folder, FILES)
        try:
            return self._from_files(self.folder), account
        except BenchError:
            raise
        except Exception as error:  # whatever the libraries raise for files that do not fit
            raise BenchError(f"{self.setting}: {self.folder} does not load as {self.kind.__name__}: {error}") from error

    def _from_files(self, folder: Path) -> Any:
        import diffusers
        import torch
        import transformers

        if issubclass(self.kind, diffusers.SchedulerMixin):
            return self._scheduler()
        # left out, it would mean: ask at the terminal
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": self.remote_code}
        models = (diffusers.ModelMixin, transformers.PreTrainedModel, transformers.AutoModel)
        if not issubclass(self.kind, models):
            return self.kind.from_pretrained(folder, **options, **self.component.config)
        if self.component.config:
            raise BenchError(f"{self.setting}.config: only schedulers and tokenizers are configured, not weights")
        options |= {"use_safetensors": True, "output_loading_info": True}
        model, report = self.kind.from_pretrained(folder, torch_dtype=getattr(torch, self.precision), **options)
        self._check_complete(report["missing_keys"])
        return model.eval()

    def _check_complete(self, keys: Any) -> None:
        missing = sorted(key for key in keys if not key.startswith(tuple(self.component.may_miss)))
        if missing:
            raise BenchError(
                f"{self.setting}: {self.folder} lacks {len(missing)} weights of {self.kind.__name__}, first "
                f"{missing[0]}; they would be random. Is it the right class? If the pipeline never uses them, add the "
                f"beginning of their names to {self.setting}.may_miss"
            )

    def _scheduler(self) -> Any:
        if not hasattr(self.kind, "set_timesteps"):
            raise BenchError(f"{self.setting}.path is not set; only a scheduler can be made without files")
        known = inspect.signature(self.kind.__init__).parameters
        unknown = sorted(self.component.config.keys() - known.keys())
        if unknown:
            raise BenchError(f"{self.setting}.config: {self.kind.__name__} has no {unknown}; it has {sorted(known)}")
        base = _json(self.folder / "scheduler_config.json") if self.folder else {}
        return self.kind.from_config({**base, **self.component.config})


def _parts(
    settings: Settings, folder: Path | None, index: Mapping[str, Any], accepted: Mapping[str, Any]
) -> dict[str, Part | None]:
    # a safety checker blackens what it takes for nudity, and was never made for medical images
    off = {"safety_checker", "feature_extractor"} if "safety_checker" in accepted else set()
    listed = components(index)
    off |= {name for name, (library, _) in listed.items() if library is None and name not in settings.components}
    off |= {name for name, component in settings.components.items() if component is None}
    names = dict.fromkeys([*listed, *settings.components])
    return {name: None if name in off else _part(name, settings, folder, listed) for name in names}


def _part(
    name: str, settings: Settings, folder: Path | None, listed: Mapping[str, tuple[str | None, str | None]]
) -> Part:
    setting = f"generator.components.{name}"
    component = settings.components.get(name) or Component()
    own = folder / name if folder and (folder / name).is_dir() else None
    files = resolve(component, setting) if component.path else own
    library, listed_kind = listed.get(name, (None, None))
    kind = component.kind or (f"{library}.{listed_kind}" if library else _declared(files, setting))
    return Part(
        setting=setting,
        kind=component_class(kind, setting),
        folder=files,
        component=component,
        precision=settings.precision(name),
        remote_code=name in settings.remote_code,
    )


def _declared(folder: Path | None, setting: str) -> str:
    """The class that a component's own configuration names."""
    config = {**_json(folder / "config.json"), **_json(folder / "scheduler_config.json")} if folder else {}
    if "_class_name" in config:
        return f"diffusers.{config['_class_name']}"
    if config.get("architectures"):
        return f"transformers.{config['architectures'][0]}"
    raise BenchError(f"{setting}.class is not set and no configuration tells it; e.g. transformers.T5EncoderModel")


def _json(path: Path) -> dict[str, Any]:
    return read_configuration(path) if path.is_file() else {}


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _assemble(kind: Any, parts: dict[str, Any]) -> Any:
    needed = {
        name
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty and name != "self"
    }
    missing = sorted(needed - parts.keys() - set(kind._optional_components))
    if missing:
        raise BenchError(f"generator.components: {kind.__name__} also needs {missing}, or set generator.path")
    return kind(**dict.fromkeys(needed - parts.keys()), **parts)


def _facts(pipeline: Any, settings: Settings, account: dict[str, Any]) -> dict[str, Any]:
    import diffusers
    import torch
    import transformers

    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            account[name]["dtype"] = str(part.dtype).removeprefix("torch.")
    facts: dict[str, Any] = {
        "pipeline": type(pipeline).__name__,
        "path": settings.path,
        "revision": commit(settings),
        "components": account,
        "remote_code": list(settings.remote_code),
        "libraries": {"diffusers": diffusers.__version__, "transformers": transformers.__version__},
    }
    scheduler = pipeline.components.get("scheduler")
    if scheduler is not None:
        known = {name: scheduler.config[name] for name in SCHEDULER_FACTS if name in scheduler.config}
        facts["scheduler"] = {"class": type(scheduler).__name__, **known}
    if "safety_checker" in pipeline.components:
        facts["safety_checker"] = "off"
    return facts
