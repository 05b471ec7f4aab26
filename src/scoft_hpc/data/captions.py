"""Generic captions (`blip_text`) for the rows that have none, written into the culture's metadata.jsonl.

Only the rows that lack one change; all else stays as it was, to the byte. Each batch is written at once and atomically,
so that a killed run loses at most a batch and the next one continues.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from scoft_hpc.data import images
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import dataset
from scoft_hpc.inputs.metadata_rows import METADATA, WRITER, MetadataRow, read_lines
from scoft_hpc.models import captioner
from scoft_hpc.models.captioner import CaptionerFiles
from scoft_hpc.models.device import device_of
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import StopFlag

log = logging.getLogger(__name__)
BEFORE = "metadata.before-captions.jsonl"
"""The file as its owner wrote it, kept beside it before the first change."""
BATCH = 8

Caption = Callable[[Sequence[Image.Image]], list[str]]


def write_missing(
    files: CaptionerFiles,
    device: str,
    root: Path,
    surveys: Mapping[str, Sequence[MetadataRow]],
    stop: StopFlag,
) -> dict[str, list[MetadataRow]]:
    """Caption the rows that lack a generic caption; return the rows, read again, of the cultures that had such.

    Args:
        files: the captioner on disk, as `captioner.find` returns it.
        device: where it runs: auto, cpu, cuda or cuda:N.

    Raises:
        Interrupted, DataError: as for `fill`.
        ConfigError: if the captioner cannot be loaded.
    """
    network = captioner.load(files, device_of(device))
    bare = [name for name, rows in surveys.items() if any(row.uncaptioned for row in rows)]
    for name in bare:
        fill(root / name, surveys[name], network.caption, files.name, stop)
    return {name: dataset.validate(root, name) for name in bare}


def fill(
    folder: Path,
    rows: Sequence[MetadataRow],
    caption: Caption,
    writer: str,
    stop: StopFlag,
    batch_size: int = BATCH,
) -> int:
    """Caption the images of the rows that lack a generic caption; return how many were written.

    Raises:
        Interrupted: if `stop` was requested; what was captioned is written.
        DataError: if a metadata.jsonl was changed by another hand meanwhile, or if an image gets no caption.
    """
    written, silent = 0, []
    for split in ("train", "test"):
        bare = [row for row in rows if row.split == split and row.uncaptioned]
        lines = read_lines(folder, split) if bare else []
        for at in range(0, len(bare), batch_size):
            stop.raise_if_set()
            batch = bare[at : at + batch_size]
            texts = list(
                zip(batch, caption([images.open_image(row.images[0]) for row in batch]), strict=True)
            )
            silent += [str(row.images[0]) for row, text in texts if not text]
            captions = {row.index: text for row, text in texts if text}
            lines = _rewrite(folder, split, lines, captions, writer)
            written += len(captions)
            log.info("%s: %d of %d captions", folder.name, min(at + batch_size, len(bare)), len(bare))
    if silent:
        raise DataError(
            f"{writer} wrote nothing for {', '.join(silent)}; expected a caption of each image. "
            f"Write their `blip_text` by hand; all other captions are in place."
        )
    return written


def _rewrite(
    folder: Path, split: str, lines: list[bytes], texts: Mapping[int, str], writer: str
) -> list[bytes]:
    """Put the captions into the file's lines; return the new ones."""
    path = (folder / split / METADATA).resolve()
    if read_lines(folder, split) != lines:
        raise DataError(
            f"{path} was changed while its captions were being written; that change was kept. "
            f"Run the same command again to write the captions that are missing."
        )
    backup = path.with_name(BEFORE)
    if not backup.exists():
        atomic.write_bytes(backup, path.read_bytes())
    new = [_with(line, texts[i], writer) if i in texts else line for i, line in enumerate(lines)]
    atomic.write_bytes(path, b"\n".join(new))
    return new


def _with(line: bytes, text: str, writer: str) -> bytes:
    """The row's line with its caption and who wrote it; its other keys stay in their order."""
    end = b"\r" if line.endswith(b"\r") else b""
    values = json.loads(line) | {"blip_text": text, WRITER: writer}
    # Half a character (a lone surrogate) in another key goes back as the escape that it was.
    return json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace") + end
