"""What is wrong with the words of a command line, found before Hydra composes them and told in plain sentences."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scoft_hpc.config.schema import RunConfig, SweepConfig

Groups = Mapping[str, Sequence[str]]
"""The config groups of a command, each with the names of its options."""

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def faults(schema: type[RunConfig], groups: Groups, words: Sequence[str]) -> list[str]:
    """Every fault of every word, each with what was expected and what to write instead."""
    found = []
    given: dict[str, str] = {}
    parser = OverridesParser.create()
    for word in words:
        if "=" not in word and not word.startswith("~"):
            found.append(f"`{word}` is not a setting; settings are written key=value{_near(word, schema)}.")
            continue
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            found.append(f"`{word}` cannot be read ({_reason(error)}); {_quoting(word)}")
            continue
        found += [f"`{word}`: {fault}" for fault in _faults(schema, groups, override)]
        key = override.key_or_group
        if key in given:
            found.append(f"`{given[key]}` and `{word}`: `{key}` is given twice; give it once.")
        given[key] = word
    return found


def settings(schema: type[RunConfig]) -> dict[str, Any]:
    """Every setting's dotted name with its type, groups of settings included, such as `train` and `train.lr`."""
    return dict(_settings(schema, ""))


def quoted(schema: type[RunConfig], word: str) -> str:
    """The word itself, or with its value in quotes where only so Hydra can read it: ~/data, a name in any script."""
    key, _, value = word.partition("=")
    hint = settings(schema).get(key)
    plain = value and value[0] not in "[{'\"" and "${" not in value
    if not plain or not (hint is Any or hint is str or str in typing.get_args(hint)):
        return word
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{escaped}"'
    return word


def dashed(schema: type[RunConfig], words: Sequence[str]) -> list[str]:
    """Settings written as flags, such as `--culture=korea`."""
    names = settings(schema)
    return [
        f"`{word}`: settings have no dashes; write {word.lstrip('-').partition('=')[0]}=…"
        for word in words
        if word.startswith("--") and word[2:].partition("=")[0].replace("-", "_") in names
    ]


def _faults(schema: type[RunConfig], groups: Groups, override: Override) -> Iterator[str]:
    """What is wrong with one word that Hydra's grammar can read."""
    key, names = override.key_or_group, settings(schema)
    free = any(key.startswith(f"{name}.") for name, hint in names.items() if typing.get_origin(hint) is dict)
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        yield "Hydra's own settings are fixed here: it makes no folders and no logs. Its flags, such as --cfg job, work."
    elif override.is_delete():
        yield f"a setting cannot be taken away; write {key}=null where none is meant."
    elif override.package or (key not in names and key not in groups and not free):
        yield f"there is no setting `{key}`{_near(key, schema)}."
    elif override.is_sweep_override():
        written = override.input_line.partition("=")[2] if override.input_line else ""
        some = (
            "one of " + ", ".join(groups[key])
            if key in groups
            else f"quotes and brackets for a list, '{key}=[{written}]'"
        )
        yield f"several values for one setting; write {some}, or add --multirun to run them one after the other."
    elif "${" in (override.input_line or ""):
        yield "a value cannot refer to another one or to the environment; let the shell expand variables: key=$NAME."
    elif key in groups:
        value = override.value()
        if not isinstance(value, str) or value not in groups[key]:
            yield f"{key} is one of {_options(groups[key], value)}."
    elif not free:
        yield from _type_faults(schema, key, names[key], override.value())


def _type_faults(schema: type[RunConfig], key: str, hint: Any, value: Any) -> Iterator[str]:
    node = OmegaConf.structured(schema)
    OmegaConf.set_readonly(node, False)
    for parent in _parents(key):
        OmegaConf.set_readonly(OmegaConf.select(node, parent), False)
    wrong = f"expected {_expected(key, hint, value)}."
    try:
        OmegaConf.update(node, key, value)
    except (OmegaConfBaseException, ValueError, TypeError):
        yield wrong
        return
    if not fits(hint, value):
        yield wrong


def fits(hint: Any, value: Any) -> bool:
    """Whether a list has the length that its type asks for; True for all else."""
    items = typing.get_args(hint)
    return typing.get_origin(hint) is not tuple or items[-1] is ... or len(value) == len(items)


def _expected(key: str, hint: Any, value: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        some = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return f"{' or '.join(_expected(key, arg, value) for arg in some)}, or null"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {_options([member.name for member in hint], value)}"
    if dataclasses.is_dataclass(hint):
        return f"a setting below it: {', '.join(f'{key}.{f.name}' for f in dataclasses.fields(hint))}"
    if typing.get_origin(hint) is tuple:
        first, *rest = typing.get_args(hint)
        kind = NAMES[first].removeprefix("a ") + "s"
        return (
            f"a list of {kind}, as '{key}=[…]'"
            if rest == [...]
            else f"{1 + len(rest)} {kind}, as '{key}=[…,…]'"
        )
    return NAMES.get(hint, "another kind of value")


def _options(names: Sequence[str], value: Any) -> str:
    near = difflib.get_close_matches(str(value).lower(), names, n=1)
    return ", ".join(names) + (f"; did you mean {near[0]}?" if near else "")


def _near(key: str, schema: type[RunConfig]) -> str:
    """Where a name is unknown: the nearest ones, by the whole name or by its last part."""
    names = list(settings(schema))
    if key in settings(SweepConfig) and key not in names:
        return ", only `python -m scoft_hpc.sweep` has it"
    last = key.rpartition(".")[2]
    below = {name: name.rpartition(".")[2] for name in names}
    near = [name for name in names if below[name] == last] or difflib.get_close_matches(key, names, n=2)
    if not near:
        like = difflib.get_close_matches(last, below.values(), n=1)
        near = [name for name in names if below[name] in like]
    return f"; did you mean {' or '.join(near[:3])}?" if near else "; `--cfg job` prints all there are"


def _quoting(word: str) -> str:
    key, _, value = word.partition("=")
    return f"a value with spaces or signs needs quotes within quotes: '{key}=\"{value}\"'."


def _settings(schema: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(schema).items():
        yield prefix + name, hint
        if dataclasses.is_dataclass(hint):
            yield from _settings(hint, f"{prefix}{name}.")


def _parents(key: str) -> list[str]:
    parts = key.split(".")[:-1]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
