"""A network of diffusers or transformers from its folder: all of it, or an error that says what is missing."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from scoft_hpc.errors import ConfigError
from scoft_hpc.text import first_line

UNREADABLE = (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError, EOFError)


def quiet_libraries() -> None:
    """No progress bars, and no lists of weights that are not used: a job's log is for what concerns the run."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def load_network(
    kind: Any,
    folder: Path,
    *,
    use_safetensors: bool | None = True,
    unread: Sequence[str] = (),
    **settings: Any,
) -> Any:
    """The network of class `kind`, frozen; nothing is downloaded, and weights of other networks are left out.

    The libraries initialize at random, or leave empty, what the files lack: here that is an error. Pickled weights are
    read as tensors only, so that nothing in them can run.

    Args:
        use_safetensors: True: safetensors only; False: pickles only; None: a pickle where there is no safetensors file.
        unread: beginnings of the names of weights that the network has and never reads.
        settings: of `kind.from_pretrained`, such as its dtype.

    Raises:
        ConfigError: if the folder holds another network, or not all of this one.
    """
    try:
        quiet_libraries()
        network, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=use_safetensors,
            output_loading_info=True,
            **settings,
        )
    except UNREADABLE as error:
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__} ({first_line(error)}). Download it again."
        ) from error
    absent = {name for name in report["missing_keys"] if not name.startswith(tuple(unread))}
    absent |= {str(key) for key in report["mismatched_keys"]}
    if absent:
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__}: {len(absent)} of its weights are not in its files, such "
            f"as {min(absent)}. Download it again."
        )
    return network.requires_grad_(False).eval()
