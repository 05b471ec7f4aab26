"""Print the lowest declared version of each dependency, one requirement per line, for `make test-lowest`.

    python tools/lowest_requirements.py pyproject.toml > lowest.txt

Of the extras, `perceptual` is left out: torchvision must fit the torch that is installed. So is torch itself, whose
builds differ from machine to machine: the Makefile installs one before the rest. Of the development tools only those
that the tests of the group import are printed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("adapter", "rewrite", "survey", "tensorboard", "tune")
TOOLS = ("hypothesis", "pytest")
BY_HAND = "torch"


def requirements(project: dict[str, object]) -> Iterator[str]:
    """`name==floor` of every dependency.

    Raises:
        ValueError: for a dependency without a lower bound.
    """
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    declared = project["dependencies"]
    assert isinstance(declared, list)
    tools = [line for line in extras["dev"] if re.match(rf"({'|'.join(TOOLS)})>=", line)]
    for line in [*declared, *(line for extra in EXTRAS for line in extras[extra]), *tools]:
        match = re.fullmatch(r"([\w.-]+)(\[\w+\])?>=([\w.]+)(,<[\w.]+)?", line)
        if match is None:
            raise ValueError(f"{line!r} declares no lowest version; expected NAME>=VERSION")
        name, extra, floor, _ = match.groups()
        if name != BY_HAND:
            yield f"{name}{extra or ''}=={floor}"


def main(path: Path) -> None:
    project = tomllib.loads(path.read_text())["project"]
    print("\n".join(requirements(project)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
