"""Another generator's images as a run's samples."""

from __future__ import annotations

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.inputs import external_images
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.prompts import sample_name
from scoft_hpc.study.paths import RunDir


def take(run: RunDir, config: RunConfig, manifest: Manifest) -> None:
    """Copy what is missing of the run's samples: turned as their cameras say, square, at the model's resolution.

    Raises:
        DataError: if the images cannot be used, or are not those that the run was planned with.
    """
    found = external_images.find(config, manifest)
    for p, paths in enumerate(found.images):
        for s, path in enumerate(paths):
            to = run.samples / sample_name(p, s)
            if not to.exists():
                images.write_png(to, images.read_images([path], config.model.resolution)[0])
