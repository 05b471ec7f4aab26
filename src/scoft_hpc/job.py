"""Run one Slurm array task; jobs call it, users do not.

    python -m scoft_hpc.job <study>/jobs/<array>

Runs the task's pack in a separate process, classifies how it ended, has Slurm requeue the task if it was interrupted,
and submits runs that other jobs lost. The last task to end gathers the results. The exit code is that of `execute`:
0 all done, 4 some failed, 75 interrupted and resumable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.console import print_error, print_stderr
from scoft_hpc.errors import RunError, ScoftError
from scoft_hpc.launch.slurm.array_task import run_task
from scoft_hpc.launch.slurm.task_runner import TaskContext
from scoft_hpc.results.gather import gather


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        return run_task(TaskContext.from_environment(Path(arguments[0])), gather)
    except KeyError as error:
        print_stderr(
            f"error: {error.args[0]} is not set: this runs inside a Slurm array; `scoft-hpc sweep` sends one."
        )
        return 2
    except ScoftError as error:
        print_error(error)
        return error.exit_code
    except OSError as error:
        print_stderr(f"error: the study's disk: {error}")
        return RunError.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
