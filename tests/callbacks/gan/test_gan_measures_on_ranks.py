"""Two ranks find the figures of one, with a set that does not divide; a failure on rank 0 ends both; alarms agree."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def test_figures_are_the_same_on_two_ranks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], check=False, timeout=150, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, *two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert {"val/fid_resnet8", "val/kid_resnet8", "val/coverage_resnet8", "train/diversity"} <= set(one["values"])
    assert two[0] == two[1]
    of_real = "train/diversity_of_real"  # of the batches, which are other ones
    assert two[0]["values"].pop(of_real) != one["values"].pop(of_real)
    assert two[0]["values"] == one["values"]
    assert len(two[0]["checks"]) == 2
    (entry,) = json.loads((tmp_path / "2" / "measures.json").read_text())["measurements"]
    assert entry["real_images"] == 297
    assert "samples" in one["failure"]


def _rank(folder: Path, number: int, ranks: int, port: int) -> None:
    """One rank; never returns."""
    from datetime import timedelta

    import torch
    from lightning.fabric.utilities.rank_zero import rank_zero_only
    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import DDPStrategy

    from callbacks import CollapseAlarm, SampleMeasures
    from tests.callbacks.gan.gan_measures_runs import Sampler, digits

    class Broken(Sampler):
        def sample(self, count: int, labels: Any = None, *, seed: int = 0) -> torch.Tensor:
            raise ValueError("no samples today")

    torch.set_num_threads(1)
    if ranks > 1:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": ranks, "NODE_RANK": 0}
        os.environ.update({name: str(value) for name, value in {**variables, "LOCAL_RANK": number}.items()})
        rank_zero_only.rank = number
    code = 1
    alarm = CollapseAlarm(every_n_steps=1, skip_steps=0)
    try:
        trainer = Trainer(
            accelerator="cpu",
            devices=ranks,
            strategy=DDPStrategy(timeout=timedelta(seconds=30)) if ranks > 1 else "auto",
            callbacks=[SampleMeasures(str(folder / "classifier"), images=320), alarm],
            max_epochs=1,
            limit_train_batches=2,
            default_root_dir=folder / str(ranks),
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        trainer.fit(Sampler(), datamodule=digits())
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        failure = ""
        try:
            trainer.validate(Broken(), digits(), verbose=False)
        except ValueError as error:
            failure = str(error)
        result = {"values": values, "failure": failure, "checks": alarm.history}
        (folder / f"{ranks}-{number}.json").write_text(json.dumps(result))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(folder: Path) -> bool:
    """One rank, then two. Returns whether all went well."""
    from callbacks import SampleMeasures  # noqa: F401  imported once, before the processes are forked
    from tests.callbacks.gan.gan_measures_runs import classifier_run

    classifier_run(folder / "classifier")
    well = True
    for ranks in (1, 2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        children = []
        for number in range(ranks):
            child = os.fork()
            if child == 0:
                _rank(folder, number, ranks, port)
            children.append(child)
        for child in children:
            well &= os.waitpid(child, 0)[1] == 0
    return well


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
    sys.exit(not main(Path(sys.argv[1])))
