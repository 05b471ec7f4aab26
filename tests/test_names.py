"""Names in `src`: a public class name is defined once, and no identifier is private vocabulary (docs/glossary.md)."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import scoft_hpc

PACKAGE = Path(scoft_hpc.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
BANNED = frozenset(
    [
        *(
            "anew",
            "door",
            "found",
            "heed",
            "heeding",
            "here",
            "house",
            "kept",
            "look",
            "looks",
            "made",
            "mend",
        ),
        *("nobody", "ours", "room", "said", "somebody", "strangers", "taken", "told", "way", "whoever"),
        *("word", "words", "coming", "mine", "spoken", "there", "these", "those"),
    ]
)
"""Participles, metaphors and pronouns where the field has a noun."""


def test_a_public_class_name_is_defined_once() -> None:
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: lines for name, lines in places.items() if len(lines) > 1} == {}


def test_no_identifier_is_a_banned_name() -> None:
    banned = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in FILES
        for name, line in _definitions(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in BANNED
    ]
    assert banned == []


def _definitions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that a module defines: classes, functions, parameters, variables, attributes and import aliases."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case (
                ast.arg(arg=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
