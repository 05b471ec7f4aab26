"""What is wrong with the words of a command line: found before Hydra composes, told in sentences."""

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
from scoft_hpc.text import did_you_mean

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


def faults(schema: type[RunConfig], groups: Groups, words: Sequence[str]) -> list[str]:
    """Every fault of every word, each with what was expected and what to write instead."""
    found = []
    given: dict[str, str] = {}
    for word in words:
        if "=" not in word.lstrip("=") and not word.startswith("~"):
            found.append(_missing_value(schema, word))
            continue
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as error:
            key, _, value = word.partition("=")
            reason = str(error).strip().splitlines()[0]
            found.append(
                f"`{word}` cannot be read ({reason}); a value with signs or spaces needs quotes in quotes: "
                f"'{key}=\"{value}\"'."
            )
            continue
        found += [f"`{_as_typed(schema, word)}`: {fault}" for fault in _faults(schema, groups, override)]
        key = override.key_or_group
        if key in given:
            found.append(f"`{given[key]}` and `{word}`: `{key}` is given twice; give it once.")
        given[key] = word
    return found


def unknown_names(schema: type[RunConfig], groups: Groups, words: Sequence[str]) -> list[str]:
    """The faults of names alone, for words that go to Hydra's own command line."""
    names = settings(schema)
    keys = {word: word.lstrip("+~").partition("=")[0] for word in words if "=" in word}
    return [
        f"`{word}`: there is no setting `{key}`{_suggestion(schema, key)}"
        for word, key in keys.items()
        if not (key in names or key in groups or _is_free(names, key) or _is_hydras(key))
    ]


def quote_override(schema: type[RunConfig], word: str) -> str:
    """The word as Hydra can read it: an ablation's axis with ++ before it, such as ~/data in quotes."""
    key, _, value = word.partition("=")
    names = settings(schema)
    if typing.get_origin(names.get(key)) is dict or _is_free(names, key):
        return f"++{word}"
    hint = names.get(key)
    takes_words = hint is Any or hint is str or str in typing.get_args(hint)
    if not takes_words or not value or value[0] in "[{'\"" or "${" in value:
        return word
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{escaped}"'
    return word


def _as_typed(schema: type[RunConfig], word: str) -> str:
    """The word without what `readable` has put before it."""
    bare = word.removeprefix("++")
    return bare if quote_override(schema, bare) == word else word


def flag_style_overrides(schema: type[RunConfig], words: Sequence[str]) -> list[str]:
    """Settings written as flags, such as `--culture=korea`."""
    names = settings(schema)
    keys = {word: word.lstrip("-").partition("=")[0] for word in words if word.startswith("--")}
    return [f"`{word}`: settings have no dashes; write {k}=VALUE." for word, k in keys.items() if k in names]


def _faults(schema: type[RunConfig], groups: Groups, override: Override) -> Iterator[str]:
    """What is wrong with one word that Hydra's grammar can read."""
    key, names, word = override.key_or_group, settings(schema), override.input_line or ""
    if _is_hydras(key):
        yield "Hydra's own settings are fixed here: no folders, no logs. Flags such as --cfg job do work."
    elif override.package or (key not in names and key not in groups and not _is_free(names, key)):
        yield f"there is no setting `{key}`{_suggestion(schema, key)}"
    elif override.is_delete():
        yield "a setting cannot be taken away; give it a value."
    elif "${" in word:
        yield "a value cannot refer to another or to the environment; let the shell expand it: key=$NAME."
    elif override.is_sweep_override():
        yield f"several values; expected {_expected_single(groups, key, names.get(key), word)}."
    elif key in groups:
        value = override.value()
        for one in value if key in MULTI_SELECT_GROUPS and isinstance(value, list) and value else [value]:
            if not isinstance(one, str) or one not in groups[key]:
                yield f"{key} is one of {_options(groups[key], one)}"
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


def _missing_value(schema: type[RunConfig], word: str) -> str:
    if word in settings(schema):
        return f"`{word}` has no value; write {word}=VALUE."
    return f"`{word}` is not a setting: these are written key=value{_suggestion(schema, word)}"


def _expected_single(groups: Groups, key: str, hint: Any, word: str) -> str:
    if key in MULTI_SELECT_GROUPS:
        return f"one of {', '.join(groups[key])}, or several in brackets and quotes, '{key}=[{word.partition('=')[2]}]'"
    if key in groups:
        return f"one of {', '.join(groups[key])}, or --multirun to run one after the other"
    if hint is Any or typing.get_origin(hint) is tuple or hint is None:
        return f"a list in brackets and quotes, '{key}=[{word.partition('=')[2]}]'"
    return (
        "one, or --multirun to run one after the other; the sweep command takes lists of cultures and seeds"
    )


def _expected(key: str, hint: Any, value: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        some = [_expected(key, arg, value) for arg in typing.get_args(hint) if arg is not type(None)]
        return " or ".join(text.rstrip(".") for text in some) + ", or null."
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
    return f"; did you mean {' or '.join(near[:3])}?" if near else "; `--cfg job` prints all there are."
