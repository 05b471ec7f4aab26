"""A network of diffusers or transformers from its folder: all of it, or an error that says what is missing."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging

from scoft_hpc.errors import ConfigError

UNREADABLE = (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError, EOFError)


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
        with _quiet():
            network, report = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=use_safetensors,
                output_loading_info=True,
                **settings,
            )
    except UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__} ({reason}). Download it again."
        ) from error
    absent = {name for name in report["missing_keys"] if not name.startswith(tuple(unread))}
    absent |= {str(key) for key in report["mismatched_keys"]}
    if absent:
        raise ConfigError(
            f"{folder} cannot be loaded as a {kind.__name__}: {len(absent)} of its weights are not in its files, such "
            f"as {min(absent)}. Download it again."
        )
    return network.requires_grad_(False).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar, and without its list of the weights that are not used."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
