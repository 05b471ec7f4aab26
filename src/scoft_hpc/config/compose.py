"""The one door to Hydra: command-line words in, frozen configs out.

Hydra composes and nothing more: no working directory is changed, no folder made, no job sent by it. Its own flags
(`--help`, `--cfg job`, `--info`, `--shell-completion`, `--multirun` …) go to Hydra itself and behave as its users expect.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scoft_hpc.config.schema import RunConfig, SweepConfig
from scoft_hpc.errors import ConfigError, ScoftError

Config = TypeVar("Config", bound=RunConfig)
SCHEMAS: dict[str, type[RunConfig]] = {"train": RunConfig, "sweep": SweepConfig}


def config_folder() -> Path:
    """`conf/`: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def command(name: str, task: Callable[[Any], int], words: Sequence[str] | None = None) -> int:
    """Run `task` on the config `name` (`train` or `sweep`) composed from `words`; return the exit code.

    A person's mistake is printed as a message, never as a traceback.
    """
    words = sys.argv[1:] if words is None else list(words)
    try:
        if any(word.startswith("-") for word in words):
            return _hydra_main(name, task, words)
        return task(compose(name, words))
    except ScoftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def compose(name: str, overrides: Sequence[str]) -> Any:
    """The frozen config `name` under `overrides`.

    Raises:
        ConfigError: naming every override that does not fit, each with the options there are.
    """
    _register()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        try:
            return to_config(hydra.compose(name, overrides=list(overrides)), SCHEMAS[name])
        except (HydraException, OmegaConfBaseException) as error:
            faults = [_explain(word, fault) for word in overrides if (fault := _fault(name, word)) is not None]
            raise ConfigError.of(faults or [_first_line(error)]) from None


def to_config(node: DictConfig, schema: type[Config]) -> Config:
    """A composed node as frozen dataclasses.

    Raises:
        ConfigError: if a value reads the environment or names a class to build: neither may reach a run's files.
    """
    raw = OmegaConf.to_yaml(node, resolve=False)
    for word in ("oc.env", "oc.decode", "oc.create", "_target_"):
        if word in raw:
            raise ConfigError(
                f"`{word}` found in the config; settings are plain values here. "
                f"Let the shell expand variables instead: key=$NAME."
            )
    return cast(Config, OmegaConf.to_object(OmegaConf.merge(_structured(schema), node)))


def dump(config: RunConfig) -> str:
    """A run's config as YAML text, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


def load(path: Path) -> RunConfig:
    """Read what `dump` wrote; nothing in it is interpolated, looked up or built.

    Raises:
        ConfigError: if the file is missing, is not such a config, or holds an interpolation.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); a run folder has a config.yaml.") from None
    if "${" in text:
        raise ConfigError(f"{path} holds an interpolation `${{`; a run's config has plain values only.")
    try:
        return to_config(cast(DictConfig, OmegaConf.create(text)), RunConfig)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path} is not a run's config: {_first_line(error)}") from None


def from_mapping(values: dict[str, Any]) -> RunConfig:
    """A run's config from plain data, such as a plan's JSON."""
    return to_config(OmegaConf.create(values), RunConfig)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Plain JSON data, enums by name: what `from_mapping` reads."""
    node = OmegaConf.structured(config)
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, enum_to_str=True))


def options(group: str) -> list[str]:
    """The names in a config group, such as the ablations."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def _hydra_main(name: str, task: Callable[[Any], int], words: Sequence[str]) -> int:
    code = 0

    def run(node: DictConfig) -> None:
        nonlocal code
        try:
            OmegaConf.set_struct(node, False)
            node.pop("hydra", None)
            code = task(to_config(node, SCHEMAS[name]))
        except ScoftError as error:
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code

    _register()
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(run)()
    finally:
        sys.argv = before
    return code


def _register() -> None:
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=_structured(schema))


def _structured(schema: type[RunConfig]) -> DictConfig:
    """The schema as a node that takes overrides: frozen dataclasses come read-only otherwise."""
    node = cast(DictConfig, OmegaConf.structured(schema))
    _set_writable(node)
    return node


def _set_writable(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _set_writable(child)


def _fault(name: str, override: str) -> Exception | None:
    """The error that this override alone makes, if it makes one."""
    try:
        to_config(hydra.compose(name, overrides=[override]), SCHEMAS[name])
    except (HydraException, OmegaConfBaseException) as error:
        return error
    except ConfigError:
        return None
    return None


def _explain(override: str, error: Exception) -> str:
    """Hydra's message in one breath, with the nearest setting where the name is unknown."""
    text = str(error)
    key = re.split(r"[=@~+]", override.lstrip("+~"), maxsplit=1)[0]
    if "not in struct" in text or "Could not override" in text and "Key" in text:
        near = difflib.get_close_matches(key, _keys(SCHEMAS["sweep"]()), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "`--cfg job` prints all settings."
        return f"`{override}`: there is no setting `{key}`; {hint}"
    if "Available options" in text:
        found = re.split(r"Available options in '[^']*':", text)[1].split()
        names = [word for word in found if not word.startswith(("Config", "provider", "main", "\t"))]
        return f"`{override}`: no such option; `{key}` is one of {', '.join(_group_names(key) or names)}."
    if "Ambiguous value" in text:
        return f"`{override}`: to give a list, write {key}=[…] in quotes: '{key}=[{override.partition('=')[2]}]'."
    return f"`{override}`: {_first_line(error)}"


def _group_names(key: str) -> list[str]:
    return options(key)


def _keys(config: Any, prefix: str = "") -> list[str]:
    import dataclasses

    names = []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        names.append(prefix + f.name)
        if dataclasses.is_dataclass(value):
            names += _keys(value, f"{prefix}{f.name}.")
    return names


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
