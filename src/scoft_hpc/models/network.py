"""A network of diffusers or transformers from its folder: all of it, or an error that says what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scoft_hpc.errors import ConfigError


def load_network(
    kind: Any, folder: Path, *, pickled: bool = False, unread: Sequence[str] = (), **settings: Any
) -> Any:
    """The network of class `kind`, from safetensors unless `pickled`; nothing is downloaded.

    The libraries make up at random, or leave empty, what the files lack: here that is an error.

    Args:
        unread: beginnings of the names of weights that the network has and never reads.
        settings: of `kind.from_pretrained`, such as its dtype.

    Raises:
        ConfigError: if the folder holds another network, or not all of this one.
    """
    try:
        network, found = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=not pickled, output_loading_info=True, **settings
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__} ({reason}). Get it whole."
        ) from error
    if lacking := sorted(name for name in found["missing_keys"] if not name.startswith(tuple(unread))):
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__}: of its weights {len(lacking)} are not in its files, such "
            f"as {lacking[0]}. Get it whole."
        )
    return network
