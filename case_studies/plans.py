"""The same runs for an engine that is there already: plain commands, a SLURM array, a Snakefile.

Each command starts its run, goes on with it, or finds that it is finished, so an engine may repeat it at will.
"""

import shlex
from collections.abc import Sequence

from case_studies.runs import PlannedRun


def shell(runs: Sequence[PlannedRun]) -> str:
    """One command a line, for a shell, GNU parallel or xargs."""
    return "".join(f"{command(run)}\n" for run in runs)


def slurm(runs: Sequence[PlannedRun]) -> str:
    """An array job with a task for each run; runs that evaluate others come in a second step of the same task."""
    tasks = _with_evaluations(runs)
    lines = [
        "#!/bin/bash",
        "# Submit with: sbatch FILE. What is done is not repeated, a run that was stopped goes on: the same file may",
        "# be submitted again. SLURM itself does so with a task that was preempted or whose node failed.",
        f"#SBATCH --array=0-{len(tasks) - 1}",
        "#SBATCH --ntasks=1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --requeue",
        "#SBATCH --signal=TERM@120",  # to the run itself, which saves: it is a step of the job
        "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK",
        "case $SLURM_ARRAY_TASK_ID in",
        *(f"{number}) {' && '.join(f'srun {command(run)}' for run in task)} ;;" for number, task in enumerate(tasks)),
        "esac",
    ]
    return "\n".join(lines) + "\n"


def snakemake(runs: Sequence[PlannedRun]) -> str:
    """A rule for each run. It declares a marker as its output, for Snakemake deletes an output before a repeat."""
    rules = []
    for number, run in enumerate(runs):
        needs = f"\n    input: {_marker(run.trained)!r}" if run.trained else ""
        rules.append(
            f"rule run_{number}:{needs}\n    output: touch({_marker(run)!r})\n"
            f"    shell: {(command(run).replace('{', '{{').replace('}', '}}'))!r}\n"
        )
    markers = ",\n        ".join(repr(_marker(run)) for run in runs)
    head = "# Run with: snakemake --snakefile FILE --cores 2\n"
    return f"{head}rule all:\n    input:\n        {markers}\n\n" + "\n".join(rules)


def command(run: PlannedRun) -> str:
    """The command of a run, as one would type it in the project's folder."""
    return shlex.join(["python", "main.py", *run.words])


def _with_evaluations(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    tasks = {run.directory: [run] for run in runs if run.trained is None}
    for run in runs:
        if run.trained is not None:
            tasks[run.trained.directory].append(run)
    return list(tasks.values())


def _marker(run: PlannedRun) -> str:
    return f"{run.directory.as_posix()}.done"


FORMATS = {"sh": shell, "slurm": slurm, "snakemake": snakemake}
