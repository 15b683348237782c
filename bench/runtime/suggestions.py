"""What somebody may have meant who wrote what is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import IConfigRepository
    from hydra.core.override_parser.types import Override


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'generator'?``, or nothing where no known word is near."""
    near = get_close_matches(word, [str(each) for each in known], n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def explained(loader: ConfigLoaderImpl, config_name: str, overrides: Sequence[str], error: Exception) -> str:
    """Why a configuration cannot be composed: one line for each part of the command line that is not there.

    Args:
        loader: Hydra's, which could not compose ``config_name`` with ``overrides``.
        error: what it said; if it is an error of Hydra's own, its first lines are the answer where the command line is
            not at fault, else there is none, ``""``.
    """
    from hydra.errors import HydraException

    try:
        parsed, repository = loader._parse_overrides_and_create_caching_repo(config_name, list(overrides))
        usual = _usual(repository, config_name)
        lines = [*_sweeps_alone(parsed, overrides), *_options(parsed, repository, usual)]
        lines = lines or [*_keys(parsed, _as_chosen(loader, config_name, parsed, repository), repository)]
    except (HydraException, ValueError, TypeError):
        lines = []
    return "\n".join(lines) or (first_lines(error) if isinstance(error, HydraException) else "")


def first_lines(error: BaseException) -> str:
    """The beginning of an error of Hydra or OmegaConf, and that of its cause; the rest names Hydra's own insides."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()][:2]
    if error.__cause__ is not None:
        said += [line.strip() for line in str(error.__cause__).splitlines() if line.strip()][:1]
    options = getattr(error, "options", None)
    if options:
        missing = str(getattr(error, "missing_cfg_file", "")).rpartition("/")[2]
        return f"{said[0]}{did_you_mean(missing, options) or '; there are ' + ', '.join(options)}"
    return ": ".join(dict.fromkeys(said)) or type(error).__name__


def _sweeps_alone(parsed: Sequence[Override], overrides: Sequence[str]) -> Iterator[str]:
    """Several values outside a sweep."""
    if "hydra.mode=MULTIRUN" in overrides:
        return
    for each in parsed:
        if each.is_sweep_override():
            listed = str(each.input_line).replace("=", "=[", 1) + "]" if each.is_choice_sweep() else ""
            way = f" as a list it is '{listed}'," if listed else ""
            yield f"{each.input_line} names several values;{way} one run for each makes the option -m"


def _usual(repository: IConfigRepository, config_name: str) -> dict[str, Any]:
    """What is chosen from each group where nobody chooses."""
    from hydra.core.default_element import GroupDefault

    primary = repository.load_config(config_path=config_name)
    listed = primary.defaults_list or () if primary else ()
    return {str(each.group): each.value for each in listed if isinstance(each, GroupDefault)}


def _options(parsed: Sequence[Override], repository: IConfigRepository, usual: Mapping[str, Any]) -> Iterator[str]:
    """Choices that their group does not have, or that are no names."""
    from hydra.core.object_type import ObjectType

    for each in parsed:
        group = each.key_or_group
        if each.is_delete() or each.is_sweep_override() or not repository.group_exists(group):
            continue
        chosen = each.value()
        known = repository.get_group_options(group, ObjectType.CONFIG)
        for option in chosen if isinstance(chosen, list) else [chosen]:
            if not isinstance(option, str):
                none = _none(group, known, usual.get(group, ""))
                yield f"{each.input_line}: of {group} names are chosen, {none}there are {', '.join(known)}"
            elif not repository.config_exists(f"{group}/{option}"):
                near = did_you_mean(option, known) or f"; there are {', '.join(known)}"
                yield f"{group}={option}: {group} has no {option!r}{near}"


def _none(group: str, known: Sequence[str], usual: Any) -> str:
    """How none of a group is chosen, where that can be."""
    if isinstance(usual, list):
        return f"none with '{group}=[]'; "
    if "none" in known:
        return f"none with {group}=none; "
    return f"none by leaving {group} out; " if usual is None else ""


def _as_chosen(
    loader: ConfigLoaderImpl, config_name: str, parsed: Sequence[Override], repository: IConfigRepository
) -> Any:
    """The configuration with all that the command line chooses from groups, and nothing that it sets."""
    from hydra.types import RunMode

    groups = [str(each.input_line) for each in parsed if repository.group_exists(each.key_or_group)]
    known = [each for each in groups if not each.startswith(("+", "~"))]
    return loader._load_configuration_impl(config_name, known, RunMode.MULTIRUN, validate_sweep_overrides=False)


def _keys(parsed: Sequence[Override], config: Any, repository: IConfigRepository) -> Iterator[str]:
    """Settings that are not there."""
    for each in parsed:
        if each.is_add() or each.is_force_add() or repository.group_exists(each.key_or_group):
            continue
        node, way = config, ""
        for part in each.key_or_group.replace("/", ".").split("."):
            if not isinstance(node, Mapping) and not hasattr(node, "keys"):
                break
            if part not in node:
                yield f"{each.input_line}: {_missing(part, way, list(map(str, node)), repository)}"
                break
            node, way = node._get_node(part), f"{way}.{part}".lstrip(".")


def _missing(part: str, way: str, known: list[str], repository: IConfigRepository) -> str:
    from hydra.core.object_type import ObjectType

    if way and part in repository.get_group_options(way, ObjectType.CONFIG):
        return f"{part!r} is not chosen; choose it with '{way}=[{','.join([*known, part])}]'"
    near = did_you_mean(part, known) or f"; there are {', '.join(known)}"
    return f"{way} has no setting {part!r}{near}" if way else f"there is no setting {part!r}{near}"
