"""`scoft-hpc <verb>`, or `python -m scoft_hpc <verb>`: a verb is a file in this folder that has a `main`."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from pathlib import Path

from scoft_hpc import __version__


def main() -> int:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"scoft-hpc {__version__}")
        return 0
    verb, known = words[0], verbs()
    if verb not in known:
        near = difflib.get_close_matches(verb, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        print(f"error: there is no verb {verb!r}{hint}\n\n{_help()}", file=sys.stderr)
        return 2
    sys.argv = [f"scoft-hpc {verb}", *words[1:]]
    return int(importlib.import_module(f"scoft_hpc.{verb}").main())


def verbs() -> dict[str, str]:
    """Every command, with what its docstring says first."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(part, ast.FunctionDef) and part.name == "main" for part in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").splitlines()[0]
    return found


def _help() -> str:
    lines = [f"  {verb:<10}{line}" for verb, line in verbs().items()]
    return "\n".join(
        ["usage: scoft-hpc VERB [words]", "", *lines, "", "scoft-hpc VERB --help tells more of one."]
    )


if __name__ == "__main__":
    raise SystemExit(main())
