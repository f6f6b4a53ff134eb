"""Average the predictions of several trained networks: `python -m experiment.ensemble RUN RUN … [--split test]`."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

import datamodules
from callbacks import TestTimeAugmentation
from callbacks.test_time.views import PROTOCOLS, ProtocolName
from experiment.checkpoints import checkpoint_to_evaluate
from experiment.ensemble_summary import Answers, summarize, table
from experiment.export import read_run
from experiment.run_record import git_state, hardware
from experiment.usage_errors import one_line_for_usage_errors, silence_unhelpful_messages
from lightning_modules import ImageClassifier
from records.checkpoints import run_of
from records.config import arguments_of, class_name, read_config
from records.files import UnreadableError, write_json
from records.layout import CONFIG

FOLDER = Path("runs/ensembles")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends it with one line and exit code 2."""
    options = _parser().parse_args(arguments)
    silence_unhelpful_messages()
    with one_line_for_usage_errors(), _only_warnings():
        output = options.output or FOLDER / f"{datetime.now():%Y-%m-%d_%H-%M-%S}.json"
        if output.exists():
            raise ValueError(f"{output} exists: name another file with --output.")
        augmentation = None
        if options.protocol:
            flips = not options.no_flips
            augmentation = TestTimeAugmentation(options.protocol, options.sides, flips, options.padding)
        elif options.sides or options.no_flips:
            raise ValueError("sides and no_flips belong to test-time augmentation: name its protocol with --protocol.")
        trainer = {"accelerator": options.accelerator, "precision": options.precision}
        summary = evaluate(options.runs, options.split, options.root, augmentation, trainer)
        _write(summary, output)
        print(f"{summary['data']}, {summary['split']} split, {summary['images']:,} images\n")
        print(table(summary))
        print(f"\n{output}")


def evaluate(
    runs: Sequence[Path],
    split: str = "test",
    root: str | None = None,
    augmentation: TestTimeAugmentation | None = None,
    trainer: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate each run's network and the mean of their class probabilities on the same images.

    The networks are in memory one after the other. Each sees the images as it was trained to: normalized, and enlarged,
    as its own run's config says.

    Args:
        runs: Directories of runs, whose best checkpoints are taken, or checkpoints in them.
        split: test or val.
        root: Folder of the data, where it is not the one that the runs name.
        augmentation: Views over which each member averages.
        trainer: Options of the Trainer, such as accelerator and precision.

    Raises:
        ValueError: The runs do not belong together.
    """
    if len(runs) < 2:
        raise ValueError("An ensemble has two members or more: give the directories of several runs.")
    checkpoints = [_checkpoint(run) for run in runs]
    if len({checkpoint.resolve() for checkpoint in checkpoints}) < len(checkpoints):
        raise ValueError("A checkpoint is given twice: give each member once.")
    configs = [_config(checkpoint) for checkpoint in checkpoints]
    _check_same_data(runs, configs, split)
    names = _names(runs)
    members: list[Answers] = []
    for run, checkpoint, config, name in zip(runs, checkpoints, configs, names, strict=True):
        network = read_run(run).network
        if augmentation is not None and PROTOCOLS[augmentation.protocol].any_size:
            network = _dense(network)
        data = _data(config, root)
        collected = _Collected()
        callbacks = [*([augmentation] if augmentation else []), collected, _MemberProgressBar(name)]
        _predict(network, data, split, callbacks, trainer or {})
        answers = collected.answers(name, network.architecture, checkpoint.as_posix(), config.get("seed_everything"))
        if members and not torch.equal(answers.labels, members[0].labels):
            raise ValueError(
                f"{run} and {runs[0]} do not have the same {split} images: check the folder of their data."
            )
        members.append(answers)
    return {
        "format": 1,
        "data": data.name,
        "split": split,
        "views": None if augmentation is None else augmentation.description(),
        **summarize(members),
        "precision": str((trainer or {}).get("precision", "32-true")),
        "hardware": hardware(num_nodes=1),
        "versions": {name: version(name) for name in ("torch", "lightning")},
        "git": git_state(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class _MemberProgressBar(TQDMProgressBar):
    """The batches of one member, under its name."""

    def __init__(self, member: str) -> None:
        super().__init__()
        self.member = member

    @property
    def predict_description(self) -> str:
        """What stands before the bar."""
        return self.member


class _Collected(Callback):
    """Keeps what `predict` says of each image, and the image's label."""

    def __init__(self) -> None:
        self.indices: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []
        self.probabilities: list[torch.Tensor] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        """Keep the batch's answers."""
        self.indices.append(outputs["indices"].cpu())
        self.labels.append(batch.labels[batch.labels >= 0].cpu())
        self.probabilities.append(outputs["probabilities"].cpu())

    def answers(self, name: str, architecture: str, checkpoint: str, seed: int | None) -> Answers:
        """All of them, in the order of the split."""
        order = torch.cat(self.indices).argsort()
        labels, probabilities = torch.cat(self.labels)[order], torch.cat(self.probabilities)[order]
        return Answers(name, architecture, checkpoint, seed, labels, probabilities)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Keep Lightning from saying what devices there are, once for each member."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _predict(
    network: ImageClassifier, data: LightningDataModule, split: str, callbacks: list[Any], options: dict[str, Any]
) -> None:
    trainer = Trainer(
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **options,
    )
    if split == "val":
        data.predict_dataloader = data.val_dataloader  # type: ignore[method-assign]
    trainer.predict(network, datamodule=data, return_predictions=False)


def _dense(network: ImageClassifier) -> ImageClassifier:
    """The same network for images of any size, where it has such a form of the same weights."""
    if network.hparams.get("dense", True):
        return network
    dense = type(network)(**{**network.hparams, "dense": True})
    dense.auxiliary_heads, dense.evaluation = network.auxiliary_heads, network.evaluation
    dense.load_state_dict(network.state_dict())
    return dense


def _checkpoint(run: Path) -> Path:
    if not run.exists():
        raise ValueError(f"There is no run {run}: give a run's directory, or a checkpoint in one.")
    return checkpoint_to_evaluate(str(run))


def _config(checkpoint: Path) -> dict[str, Any]:
    """The run's config, as far as it names data of this project."""
    file = run_of(checkpoint) / CONFIG
    try:
        config = read_config(run_of(checkpoint))
        name = class_name(config.get("data"))
    except UnreadableError:
        raise ValueError(
            f"There is no {file} that names the data: give a run's directory, or a checkpoint in one."
        ) from None
    if name not in datamodules.data_sets():
        raise ValueError(f"{file} names data {name}, which this project does not have: leave the run out.")
    return config


def _data(config: dict[str, Any], root: str | None) -> LightningDataModule:
    arguments = arguments_of(config["data"])
    if root is not None and "root" in arguments:
        arguments["root"] = root
    return getattr(datamodules, class_name(config["data"]))(**arguments)


def _check_same_data(runs: Sequence[Path], configs: Sequence[dict[str, Any]], split: str) -> None:
    settings = ("val_size", "split_seed") if split == "val" else ()
    for run, config in zip(runs, configs, strict=True):
        data, of_first = class_name(config["data"]), class_name(configs[0]["data"])
        if data != of_first:
            raise ValueError(f"{run} was trained on {data}, {runs[0]} on {of_first}: give runs on the same data.")
        for name in settings:
            own, first = (arguments_of(of["data"]).get(name) for of in (config, configs[0]))
            if own != first:
                raise ValueError(
                    f"{run} has data.{name}={own}, {runs[0]} {first}, so one was trained on validation images of the "
                    "other: use --split test."
                )


def _names(runs: Sequence[Path]) -> list[str]:
    """Last parts of the paths, as many as it takes to tell the runs apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _write(summary: dict[str, Any], output: Path) -> None:
    try:
        write_json(output, summary, indent=2)
    except OSError as error:
        raise ValueError(f"{output} cannot be written ({error.strerror}): name another file with --output.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiment.ensemble",
        description="Average the class probabilities of several trained networks, and compare the average with each.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="a run's directory, whose best checkpoint is taken, or a checkpoint",
    )
    parser.add_argument("--split", choices=("test", "val"), default="test", help="images; default: test")
    parser.add_argument("--root", help="folder of the data, if it is no longer where the runs had it")
    parser.add_argument("--output", type=Path, help=f"new file for the summary; default: one in {FOLDER}")
    parser.add_argument("--protocol", choices=get_args(ProtocolName), help="views that each member averages over")
    parser.add_argument("--sides", type=int, nargs="+", help="shorter sides of the images; default: the protocol's")
    parser.add_argument("--no_flips", action="store_true", help="no mirror images among the views")
    parser.add_argument(
        "--padding", choices=("zeros", "reflect"), default="zeros", help="border of shifted images; default: zeros"
    )
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu; default: auto")
    parser.add_argument("--precision", default="32-true", help="such as bf16-mixed; default: 32-true")
    return parser


if __name__ == "__main__":
    main()
