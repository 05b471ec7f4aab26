"""The only module that calls Hydra: overrides of a command line in, frozen configs out.

Hydra composes and nothing more: it changes no working directory, creates no folder and submits no job. Its
flags (`--help`, `--cfg job`, `--info`, `--shell-completion`, `--multirun` …) go to Hydra itself and behave as
its users expect.
"""

from __future__ import annotations

import copy
import functools
import os
import re
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError
from yaml import nodes as yaml_nodes

from scoft_hpc.config import ablation_product, nodes, override_errors
from scoft_hpc.config.command_configs import PrepareConfig, RewriteConfig, SweepConfig
from scoft_hpc.config.plain import to_override, to_plain
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.console import print_error, report_errors
from scoft_hpc.errors import ConfigError, ScoftError
from scoft_hpc.study.stored_config import located, output_of, stored
from scoft_hpc.text import first_line

Config = TypeVar("Config", bound=RunConfig)
PLAIN = re.compile(r"(?!(?i:y|n|yes|no|on|off|true|false|null|nan|inf)$)[A-Za-z_/][\w./-]*")
"""Strings that every version of YAML reads as strings without quotes; others are quoted."""

SCHEMAS: dict[str, type[RunConfig]] = {
    "train": RunConfig,
    "sweep": SweepConfig,
    "prepare": PrepareConfig,
    "rewrite": RewriteConfig,
}


LAUNCHER = r"^\s*(\S*python[\d.]*\s+-m|\S*scoft-hpc)\s+\S+\s*"
"""What stands before the settings on a command line: `python -m scoft_hpc.train`, `scoft-hpc train`."""


_Dumper: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
"""PyYAML's, in C where it is built so: OmegaConf's own takes 10 ms a config."""


def _quoted(dumper: Any, text: str) -> yaml_nodes.ScalarNode:
    style = None if PLAIN.fullmatch(text) else '"'
    return cast(yaml_nodes.ScalarNode, dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style))


_Dumper.add_representer(str, _quoted)


def config_folder() -> Path:
    """`conf/`: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


Task = Callable[[Any, Sequence[str]], int]
"""What a command does with its config and the overrides that it was composed from; returns the exit code."""


def command(name: str, task: Task, argv: Sequence[str] | None = None) -> int:
    """Run `task` on the config `name` (`train`, `sweep` …) composed from `argv`; return the exit code.

    A user error is printed as a message, never as a traceback, and a closed pipe ends the command quietly.

    Args:
        argv: None: those of this process.
    """
    overrides = sys.argv[1:] if argv is None else list(argv)
    if any(text.startswith("-") for text in overrides):
        return report_errors(lambda: _hydra_main(name, task, overrides))
    return report_errors(lambda: task(compose(name, overrides), overrides))


def compose(name: str, overrides: Sequence[str], settings: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """The frozen config `name` under `overrides`, and under `settings` (dotted name or config group -> value) besides.

    Hydra composes once for each choice of groups: configs that differ in plain settings alone share it.

    Raises:
        ConfigError: naming every override that does not fit, each with the options there are.
    """
    schema, options_of = SCHEMAS[name], groups(name)
    quote = functools.partial(override_errors.quote_override, schema)
    given = {key: quote(f"{key}={to_override(value)}") for key, value in settings.items()}
    quoted = [quote(text) for text in overrides]
    if faults := override_errors.faults(schema, options_of, [*quoted, *given.values()]):
        raise ConfigError.from_messages(faults)
    quoted += [text for key, text in given.items() if key in options_of]
    try:
        merged = ablation_product.merge_ablation_lists(quoted, config_folder())
        node = _composed(name, tuple(merged), config_folder())
        if plain_settings := {key: value for key, value in settings.items() if key not in options_of}:
            node = copy.deepcopy(node)
        for key, value in plain_settings.items():  # as Hydra's own overrides do
            OmegaConf.update(node, key, value, merge=True, force_add=given[key].startswith("++"))
        return to_config(node, schema)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join((*overrides, *given.values()))}: {first_line(error)}") from None


@functools.lru_cache(maxsize=16)
def _composed(name: str, overrides: tuple[str, ...], folder: Path) -> DictConfig:
    """The node that Hydra composes. It is shared: do not change it."""
    _register()
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


def to_config(node: DictConfig, schema: type[Config]) -> Config:
    """A composed node as frozen dataclasses.

    Raises:
        ConfigError: if the node is not such a config, or if a value refers to another one, reads the
            environment or names a class to build: none of these may reach a run's files.
    """
    raw = OmegaConf.to_yaml(node, resolve=False)
    for syntax in ("${", "_target_"):
        if syntax in raw:
            raise ConfigError(
                f"`{syntax}` found in the config; settings are plain values here. "
                f"Let the shell expand variables instead: key=$NAME."
            )
    try:
        values = OmegaConf.to_container(node, enum_to_str=True)
        config = OmegaConf.to_object(OmegaConf.merge(_empty(cast(Hashable, schema)), values))
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise ConfigError(f"not a config of this version: {first_line(error)}") from None
    return cast(Config, nodes.with_tuples(config))


def dump(config: RunConfig, relative: bool = False) -> str:
    """A run's config as YAML text, every value resolved; `relative`: its paths as a study's files have them."""
    values = to_mapping(config)
    return yaml.dump(
        stored(values) if relative else values, Dumper=_Dumper, sort_keys=False, allow_unicode=True
    )


def load(path: Path) -> RunConfig:
    """Read what `dump` wrote; nothing in it is interpolated, looked up or built.

    The paths of a study that was moved are those of where it lies now.

    Raises:
        ConfigError: if the file is missing, is not such a config, or holds an interpolation.
    """
    try:
        node = OmegaConf.create(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); a run folder has a config.yaml."
        ) from None
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML text: {first_line(error)}") from None
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{path} holds no settings; a run's config.yaml has one a line, as `key: value`.")
    if (output := output_of(path)) is not None:
        values = cast(dict[str, Any], OmegaConf.to_container(node))
        node = OmegaConf.create(dict(located(values, output)))
    try:
        return to_config(node, RunConfig)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def from_mapping(values: dict[str, Any]) -> RunConfig:
    """A run's config from plain data, such as a plan's JSON."""
    return to_config(OmegaConf.create(values), RunConfig)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Plain JSON data, enums by name: what `from_mapping` reads."""
    return cast(dict[str, Any], to_plain(config))


def options(group: str) -> list[str]:
    """The names in a config group, such as the ablations."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


@functools.cache
def groups(name: str) -> dict[str, list[str]]:
    """The config groups that the command `name` chooses from, each with its options."""
    defaults = OmegaConf.load(config_folder() / f"{name}.yaml").defaults
    chosen = [str(key) for entry in defaults if isinstance(entry, DictConfig) for key in entry]
    return {key: options(key) for key in chosen if not key.startswith("override ")}


def _hydra_main(name: str, task: Task, overrides: Sequence[str]) -> int:
    """Let Hydra do what its flags ask; with --multirun `task` runs once for each combination."""
    codes = [0]

    def run(node: DictConfig) -> None:
        try:
            OmegaConf.set_struct(node, False)
            node.pop("hydra", None)
            codes.append(task(to_config(node, schema), overrides))
        except ScoftError as error:
            print_error(error)
            codes.append(error.exit_code)

    schema = SCHEMAS[name]
    faults = override_errors.flag_style_overrides(schema, overrides)
    if not any(text in ("-sc", "--shell-completion") for text in overrides):
        faults += override_errors.unknown_names(
            schema, groups(name), [text for text in overrides if not text.startswith("-")]
        )
    if faults:
        raise ConfigError.from_messages(faults)
    if "COMP_LINE" in os.environ:  # the line to complete: Hydra takes only its first part for the program
        os.environ["COMP_LINE"] = re.sub(LAUNCHER, "program ", os.environ["COMP_LINE"])
    _register()
    quoted = [override_errors.quote_override(schema, text) for text in overrides]
    arguments = ablation_product.merge_ablation_lists(quoted, config_folder())
    # Hydra's texts name the program.
    program = sys.argv[0] if sys.argv[0].endswith(f"{name}.py") else f"scoft-hpc {name}"
    before, sys.argv = sys.argv, [program, *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(run)()
    finally:
        sys.argv = before
    return max(codes)


@functools.cache
def _empty(schema: Hashable) -> DictConfig:
    """The schema's node, for merging only: do not change it."""
    return nodes.structured(cast(type[Any], schema))


@functools.cache
def _register() -> None:
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=nodes.structured(schema))
