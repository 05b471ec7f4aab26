"""Error messages for invalid Hydra overrides, found before Hydra composes the config."""

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

from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.nodes import accepts, settings
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.text import did_you_mean, first_line

Groups = Mapping[str, Sequence[str]]
"""The config groups of a command, each with the names of its options."""

MULTI_SELECT_GROUPS = ("ablation",)
"""Groups of which several options can be chosen at once."""

KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
}


def faults(schema: type[RunConfig], groups: Groups, overrides: Sequence[str]) -> list[str]:
    """The faults of all overrides, each with what was expected and what to write instead."""
    messages = []
    given: dict[str, str] = {}
    for text in overrides:
        if "=" not in text.lstrip("=") and not text.startswith("~"):
            messages.append(_missing_value(schema, text))
            continue
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            key, _, value = text.partition("=")
            messages.append(
                f"`{text}` cannot be read ({first_line(error)}); a value with signs or spaces needs quotes in quotes: "
                f"'{key}=\"{value}\"'."
            )
            continue
        messages += [f"`{_as_typed(schema, text)}`: {fault}" for fault in _faults(schema, groups, override)]
        key = override.key_or_group
        if key in given:
            messages.append(f"`{given[key]}` and `{text}`: `{key}` is given twice; give it once.")
        given[key] = text
    return messages


def unknown_names(schema: type[RunConfig], groups: Groups, overrides: Sequence[str]) -> list[str]:
    """The faults of the names alone, for overrides that Hydra's own command line parses."""
    names = settings(schema)
    keys = {text: text.lstrip("+~").partition("=")[0] for text in overrides if "=" in text}
    return [
        f"`{text}`: there is no setting `{key}`{_suggestion(schema, key)}"
        for text, key in keys.items()
        if not (key in names or key in groups or _is_free(names, key) or _is_hydras(key))
    ]


def quote_override(schema: type[RunConfig], text: str) -> str:
    """The override as Hydra can parse it: with `++` for an axis of an ablation, a value such as ~/data quoted."""
    key, _, value = text.partition("=")
    names = settings(schema)
    if typing.get_origin(names.get(key)) is dict or _is_free(names, key):
        return f"++{text}"
    hint = names.get(key)
    is_text = hint is Any or hint is str or str in typing.get_args(hint)
    if not is_text or not value or value[0] in "[{'\"" or "${" in value:
        return text
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{escaped}"'
    return text


def _as_typed(schema: type[RunConfig], text: str) -> str:
    """The text without what `readable` has put before it."""
    bare = text.removeprefix("++")
    return bare if quote_override(schema, bare) == text else text


def flag_style_overrides(schema: type[RunConfig], overrides: Sequence[str]) -> list[str]:
    """Settings written as flags, such as `--culture=korea`."""
    names = settings(schema)
    keys = {text: text.lstrip("-").partition("=")[0] for text in overrides if text.startswith("--")}
    return [f"`{text}`: settings have no dashes; write {k}=VALUE." for text, k in keys.items() if k in names]


def _faults(schema: type[RunConfig], groups: Groups, override: Override) -> Iterator[str]:
    """The faults of one override that Hydra's grammar can parse."""
    key, names, text = override.key_or_group, settings(schema), override.input_line or ""
    if _is_hydras(key):
        yield "Hydra's own settings are fixed here: no folders, no logs. Flags such as --cfg job do work."
    elif override.package or (key not in names and key not in groups and not _is_free(names, key)):
        yield f"there is no setting `{key}`{_suggestion(schema, key)}"
    elif override.is_delete():
        yield "a setting cannot be deleted; give it a value."
    elif "${" in text:
        yield "a value cannot refer to another or to the environment; let the shell expand it: key=$NAME."
    elif override.is_sweep_override():
        yield f"several values; expected {_expected_single(groups, key, names.get(key), text)}."
    elif key in groups:
        value = override.value()
        for name in value if key in MULTI_SELECT_GROUPS and isinstance(value, list) and value else [value]:
            if not isinstance(name, str) or name not in groups[key]:
                yield f"{key} is one of {_options(groups[key], name)}"
    elif not accepts(hint := _hint(names, key), override.value()):
        yield f"expected {_expected(key, hint, override.value())}"


def _is_free(names: Mapping[str, Any], key: str) -> bool:
    """Whether the key is an entry of a setting whose entries have no fixed names, or lies below one."""
    return key not in names and _hint(names, key) is not None


def _hint(names: Mapping[str, Any], key: str) -> Any:
    """The type of the setting, or of the entry of one whose entries have no fixed names; None if there is neither."""
    if key in names:
        return names[key]
    for name, hint in names.items():
        if typing.get_origin(hint) is dict and key.startswith(f"{name}."):
            entry = typing.get_args(hint)[1]
            if not dataclasses.is_dataclass(entry):
                return entry  # the name of an axis is itself dotted
            _, _, below = key.removeprefix(f"{name}.").partition(".")
            return settings(entry).get(below) if below else entry
    return None


def _is_hydras(key: str) -> bool:
    return key == "hydra" or key.startswith(("hydra.", "hydra/"))


def _missing_value(schema: type[RunConfig], text: str) -> str:
    if text in settings(schema):
        return f"`{text}` has no value; write {text}=VALUE."
    return f"`{text}` is not a setting: these are written key=value{_suggestion(schema, text)}"


def _expected_single(groups: Groups, key: str, hint: Any, text: str) -> str:
    if key in MULTI_SELECT_GROUPS:
        return f"one of {', '.join(groups[key])}, or several in brackets and quotes, '{key}=[{text.partition('=')[2]}]'"
    if key in groups:
        return f"one of {', '.join(groups[key])}, or --multirun to run one after the other"
    if hint is Any or typing.get_origin(hint) is tuple or hint is None:
        return f"a list in brackets and quotes, '{key}=[{text.partition('=')[2]}]'"
    return (
        "one, or --multirun to run one after the other; the sweep command takes lists of cultures and seeds"
    )


def _expected(key: str, hint: Any, value: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        alternatives = [_expected(key, arg, value) for arg in typing.get_args(hint) if arg is not type(None)]
        return " or ".join(text.rstrip(".") for text in alternatives) + ", or null."
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {_options([member.name for member in hint], value)}"
    if dataclasses.is_dataclass(hint):
        return f"a setting below it: {', '.join(f'{key}.{f.name}' for f in dataclasses.fields(hint))}."
    if typing.get_origin(hint) is dict:
        listed = typing.get_origin(typing.get_args(hint)[1]) is list
        return f"lists by name, as '{key}={{seed: [0, 1]}}'." if listed else f"entries by name, {key}.NAME=…"
    if typing.get_origin(hint) is list:
        return "a list, as [0,1]."
    if typing.get_origin(hint) is tuple:
        first, *rest = typing.get_args(hint)
        kind = KINDS[first].removeprefix("a ") + "s"
        return (
            f"a list of {kind}, '{key}=[…]'." if rest == [...] else f"{1 + len(rest)} {kind}, '{key}=[…,…]'."
        )
    return f"{KINDS.get(hint, 'another kind of value')}."


def _options(names: Sequence[str], value: Any) -> str:
    return ", ".join(names) + did_you_mean(str(value).lower(), names)


def _suggestion(schema: type[RunConfig], key: str) -> str:
    """The end of a sentence on an unknown name: the nearest ones, by the whole name or by its last part."""
    names = list(settings(schema))
    if key not in names and key in settings(SweepConfig):
        return "; only the sweep command has it."
    last = key.rpartition(".")[2]
    below = {name: name.rpartition(".")[2] for name in names}
    near = [name for name in names if below[name] == last] or difflib.get_close_matches(key, names, n=2)
    if not near:
        like = difflib.get_close_matches(last, below.values(), n=1)
        near = [name for name in names if below[name] in like]
    return f"; did you mean {' or '.join(near[:3])}?" if near else "; `--cfg job` prints all settings."
