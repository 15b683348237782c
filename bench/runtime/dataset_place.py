"""The folder that the runs of a data set share: named as a data set of one's own calls itself, else as its option."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf


def dataset_place(choice: str, dataset: DictConfig) -> str:
    """``my_xrays`` where the settings of ``dataset`` have that ``name``, else ``choice``, the chosen option."""
    name = dataset.get("name")
    return str(name) if name else choice


def _resolved(choice: str, *, _root_: DictConfig) -> str:
    return dataset_place(choice, _root_.dataset)


# at import: whoever reads a configuration, in a sweep's other processes too, finds it
OmegaConf.register_new_resolver("dataset_place", _resolved, replace=True)
