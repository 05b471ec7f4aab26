"""A network of transformers loaded from a folder, frozen and in fp32: whole, quietly and without a network."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from scoft_hpc.errors import ConfigError


def load_network(kind: Any, folder: Path, setting: str = "objective.distance_path") -> Any:
    """The transformers network of class `kind`. Weights of other parts in the file (a text tower) are left out.

    Pickled weights (`pytorch_model.bin`) are read as tensors only, so that nothing in them can run. `setting` is the
    one that named the folder, for messages.

    Raises:
        ConfigError: if the folder holds another network, or not all of this one.
    """
    try:
        with _quiet():
            network, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                dtype=torch.float32,
                weights_only=True,
                output_loading_info=True,
            )
    except (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(_unusable(kind, folder, setting, str(error).strip().splitlines()[0])) from None
    absent = sorted({*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])})
    if absent:
        raise ConfigError(
            _unusable(kind, folder, setting, f"{len(absent)} of its weights are absent, as {absent[0]}")
        )
    return network.requires_grad_(False).eval()


def _unusable(kind: Any, folder: Path, setting: str, reason: str) -> str:
    return (
        f"{setting}={folder} does not give a whole {kind.__name__}: {reason}. "
        f"Expected a folder as transformers' save_pretrained writes it; download it again."
    )


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
