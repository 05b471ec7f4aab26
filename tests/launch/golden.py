"""The sbatch script of each site, as a sweep would send it: `python tests/launch/golden.py` writes them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scoft_hpc.config import compose
from scoft_hpc.launch.slurm import sbatch
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, new_array
from scoft_hpc.study.paths import StudyDir

FOLDER = Path(__file__).parent / "golden"
STUDY = StudyDir(Path("/project/outputs/a-study"))
ARGUMENTS = {"slurm": (), "bridges2": ("cluster.account=abc123p",)}
"""What a person adds; anywhere else, an account."""

SITES = [name for name in compose.options("cluster") if name != "local"]


def script(site: str, *arguments: str) -> str:
    """The script of an array of five packs at a site, four hours each."""
    given = ARGUMENTS.get(site, ("cluster.account=ALLOCATION",))
    cluster = compose.compose("sweep", [f"cluster={site}", *given, *arguments]).cluster
    request = SubmissionRequest(cluster)
    batch = new_array(STUDY, request, "train", (("run",),), (14400.0,), 240, name="train-9f3a1c2d")
    return sbatch.sbatch_script(STUDY, replace(batch, tasks=(("run",),) * 5, cluster={"python": "python"}))


if __name__ == "__main__":
    for site in SITES:
        (FOLDER / f"{site}.sbatch").write_text(script(site))
