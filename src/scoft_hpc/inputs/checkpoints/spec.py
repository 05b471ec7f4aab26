"""How a checkpoint of a pre-trained network is declared, located on this machine, checked and hashed.

Nothing is downloaded or loaded. The checkpoints themselves are listed in `catalogue`; the base model, which a run reads
in parts, has a module of its own (`base_model`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub, safetensors_header
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.safetensors_header import shards
from scoft_hpc.study.json_files import read_json

PICKLE_REFUSED = "a pickle can run code when it is loaded, and is refused"
MAX_TENSORS_LISTED = 3


@dataclass(frozen=True)
class CheckpointSpec:
    """A checkpoint: a folder, or a single file where `single_file`.

    Attributes:
        setting: names a file, a folder or a repository on the Hugging Face hub.
        repository: what is used where the setting is empty, and the example in messages; None: there is none.
        include: the files of a repository that are downloaded.
        kinds, kind_key: the accepted values of a key of config.json; any where there are none.
        weights: the safetensors file, or the one that an index splits; None: the files are listed in `required`.
        pickle: a file of pickled tensors that is read where there is no safetensors file.
        required: further files; alternatives: groups of which one file must exist.
        digested: files that count in the digest where they exist, beside the weights.
        tensors: names and shapes of tensors that the weights must hold.
        single_file: whether the setting may name the weights themselves; the path is then that of the file.
        package: the Python package that reads the checkpoint, and extra: that of scoft-hpc which installs it.
        fill: a command line that downloads the checkpoint into `{folder}` where `hf download` does not.
    """

    setting: str
    repository: str | None
    include: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    kind_key: str = "model_type"
    weights: str | None = "model.safetensors"
    pickle: str | None = None
    required: tuple[str, ...] = ("config.json",)
    alternatives: tuple[tuple[str, ...], ...] = ()
    digested: tuple[str, ...] = ("config.json",)
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    single_file: bool = False
    package: str | None = None
    extra: str | None = None
    fill: str | None = None


def locate(spec: CheckpointSpec, value: str | None) -> Path:
    """The absolute path of the checkpoint that the setting's `value` names, after all checks.

    Raises:
        ConfigError: with all problems, if it is missing, half-downloaded, another network's, or its package is missing.
    """
    value = value or spec.repository
    if value is None:
        command = download_command(spec, "DIR")
        missing_package = "".join(f"; {problem}" for problem in _package_problems(spec))
        raise ConfigError(
            f"{spec.setting} is not set; expected a folder, as {command} fills it where there is a network"
            f"{missing_package}."
        )
    command = download_command(spec, value)
    root = path = hub.locate(value, spec.setting, command)
    if spec.single_file and root.is_dir() and spec.weights:
        path = root / spec.weights
    elif root.is_file() and not spec.single_file:
        raise ConfigError(
            f"{spec.setting}={value} is a file; expected a folder with {', '.join(spec.required)}."
        )
    problems = list(_problems(spec, path))
    if problems:
        raise ConfigError(
            f"{spec.setting}={value} ({path}) cannot be used: {'; '.join(problems)}"
            f"{hub.incomplete_downloads(root)}. Expected what {command} downloads where there is a network."
        )
    return path


def checkpoint_digest(spec: CheckpointSpec, path: Path) -> str:
    """16 hex digits over the content of a located checkpoint."""
    if path.is_file():
        return digest(path.parent, [path.name])
    names = [name for name in spec.digested if (path / name).is_file()]
    return digest(path, [*names, *(file.name for file in weight_files(spec, path))])


def weight_files(spec: CheckpointSpec, folder: Path) -> list[Path]:
    """The files that hold the weights: safetensors first, as transformers prefers them."""
    files = shards(folder / spec.weights) if spec.weights else []
    if not files and spec.pickle and (folder / spec.pickle).is_file():
        files = [folder / spec.pickle]
    return files


def download_command(spec: CheckpointSpec, value: str) -> str:
    """The command line that downloads the repository `value`, or the spec's own if the value is a path."""
    if spec.fill:
        return f"`{spec.fill.format(folder=value)}`"
    repository = value if hub.is_repository(value) else spec.repository or value
    return hub.download_command(repository, None, spec.include)


def _problems(spec: CheckpointSpec, path: Path) -> Iterator[str]:
    if spec.single_file:
        yield from _weight_problems(spec, [path])
    else:
        if missing := [name for name in spec.required if not (path / name).exists()]:
            yield f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        for names in spec.alternatives:
            if not any((path / name).is_file() for name in names):
                yield f"{names[0]} is missing"
        if spec.kinds and (path / "config.json").exists():
            kind = read_json(path / "config.json").get(spec.kind_key)
            if not any(name in spec.kinds for name in (kind if isinstance(kind, list) else [kind])):
                yield f"config.json says {spec.kind_key}: {kind!r}; expected {' or '.join(map(repr, spec.kinds))}"
        if spec.weights:
            files = weight_files(spec, path)
            yield from _weight_problems(spec, files) if files else _missing_weights(spec, path)
    yield from _package_problems(spec)


def _weight_problems(spec: CheckpointSpec, files: list[Path]) -> Iterator[str]:
    for file in files:
        if file.name == spec.pickle:
            continue
        if problem := safetensors_header.problem(file):
            yield f"{file.name} {problem}"
        elif spec.tensors:
            shapes = safetensors_header.shapes(file)
            wrong = [name for name, shape in spec.tensors.items() if shapes.get(name) != shape]
            more = ", …" if wrong[MAX_TENSORS_LISTED:] else ""
            if wrong:
                yield f"{file.name} lacks the tensors {', '.join(wrong[:MAX_TENSORS_LISTED])}{more}"


def _missing_weights(spec: CheckpointSpec, folder: Path) -> Iterator[str]:
    if spec.pickle:
        yield f"there is neither {spec.weights} nor {spec.pickle}"
        return
    pickles = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
    yield f"{spec.weights} is missing{f'; {pickles}: {PICKLE_REFUSED}' if pickles else ''}"


def _package_problems(spec: CheckpointSpec) -> Iterator[str]:
    if spec.package and not find_spec(spec.package):
        yield f"the package {spec.package} is missing: `pip install 'scoft-hpc[{spec.extra}]'`"
