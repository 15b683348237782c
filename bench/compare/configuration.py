"""The settings of a comparison, composed and judged like those of a run, without a trace in Hydra's global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from bench.api import BenchError
from bench.runtime.search import CONFIGURATION

NAME = "compare"


def configuration(settings: Sequence[str] = (), config_dir: str | None = None) -> DictConfig:
    """``conf/compare.yaml`` with ``settings``, each as on a command line: ``encoder.rad_dino.path=/models/rad-dino``.

    Args:
        config_dir: a folder with further encoders and evaluators, as Hydra's option of the same name.

    Raises:
        BenchError: a setting that is unknown, of another type, or not for files of others to set.
    """
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import setup_globals
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    from bench.runtime.foreign import JudgedLoader
    from bench.runtime.settings import CompareSettings, check_settings
    from bench.runtime.suggestions import explained, first_lines

    setup_globals()
    search = create_config_search_path(str(CONFIGURATION))
    if config_dir is not None:
        search.prepend("command-line", f"file://{_folder(config_dir)}", "schema")
    loader = JudgedLoader(search)
    try:
        config = loader.load_configuration(NAME, list(settings), RunMode.RUN, from_shell=False)
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        if isinstance(error, BenchError):
            raise
        raise BenchError(explained(loader, NAME, list(settings), error) or first_lines(error)) from error
    check_settings(config, CompareSettings)
    return config


def _folder(path: str) -> Path:
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise BenchError(f"{path} is no folder; name one with encoder/ or evaluator/ in it")
    return folder
