"""LightningCLI with a directory for every run, exact resume, and one line for every mistake."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils import deterministic

from callbacks import BestCheckpoint, EpochProgressBar, KeepFinite, LatestCheckpoint, StepSeed, Throughput
from callbacks.training.stop_signal import SIGNALS, StopWithoutSaving
from experiment.checkpoints import (
    VerifiedCheckpointIO,
    checkpoint_to_evaluate,
    checkpoint_to_resume,
    differences,
    latest_of_run,
    load_verified,
    misfit,
    with_config_of_resumed_run,
)
from experiment.config_files import with_recipes_written_out
from experiment.predictions import PredictionWriter
from experiment.preflight import check_launch, device_count, warn_of_slow_bfloat16
from experiment.ranks import LastWords, StragglerWatch, WatchedDDPStrategy
from experiment.resume import PATHS, what_ended, with_own_start
from experiment.run_directory import DEFAULT_ROOT, RunDirectory, new_run_directory
from experiment.run_record import RunRecord, complete_record, lacks_test, recorded_wandb_id
from experiment.settings import CheckBeforeFirstStep, check_resumption, check_settings, missing_run
from experiment.start_weights import load_start_weights
from experiment.trusted_imports import trust_known_modules
from experiment.usage_errors import ExperimentArgumentParser, silence_unhelpful_messages
from experiment.wandb_logger import ResilientWandbLogger
from experiment.weight_files import other_evaluation
from lightning_modules import ImageClassifier
from lightning_modules.classifier import FROM_DATA
from records.config import Published
from records.files import remove_parts
from records.layout import CHECKPOINTS
from records.weights import TO_EVALUATE, TO_RESUME

COMMANDS = {
    "fit": "Train a network, and validate it after each epoch.",
    "validate": "Measure a trained network on the validation images.",
    "test": "Measure a trained network on the test images.",
    "predict": "Write class probabilities of a trained network for the test images.",
}
INTERRUPTED = 130  # exit code after Ctrl+C
HELP = "Options of a class: --model.help ResNet, --data.help CIFAR10. Options in force: --print_config."


class NothingToDo(Exception):  # noqa: N818
    """A run that is to go on is finished."""


class ExperimentCLI(LightningCLI):
    """Train, evaluate and predict with any network of the project on any of its data sets.

    Ctrl+C ends any command with exit code 130.
    """

    def __init__(self, args: ArgsType = None) -> None:
        silence_unhelpful_messages()
        trust_known_modules()
        self._directory: RunDirectory | None = None
        try:
            with ended_by_signals():
                self._do(args)
        except NothingToDo as finished:
            rank_zero_info(str(finished))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except SystemExit as ending:  # Lightning's own after Ctrl+C
            if not isinstance(ending.__context__, KeyboardInterrupt):
                raise
            sys.exit(INTERRUPTED)
        finally:
            if self._directory is not None:
                self._directory.close()

    def _do(self, args: ArgsType) -> None:
        words = sys.argv[1:] if args is None else args
        self._named = words[0] if isinstance(words, list) and words else None
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint names no class to import
            seed_everything_default=42,
            parser_class=ExperimentArgumentParser,
            save_config_callback=RunRecord,
            parser_kwargs={
                "description": "Train and evaluate landmark image networks: COMMAND --config FILE … [--option value …]",
                **{command: {"description": f"{COMMANDS[command]} {HELP}"} for command in self.subcommands()},
            },
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Those that Lightning has; of the options of all four, only those of the named command take time."""
        every = LightningCLI.subcommands()
        return {self._named: every[self._named]} if self._named in every else every

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options of a run, the callbacks that every run has, and what follows from the seed and the data."""
        parser.add_argument(
            "--run_dir",
            type=Path | None,
            default=None,
            help="Directory of the run; by default a new one below trainer.default_root_dir (runs). If it holds a "
            "run already, the name gets a number.",
        )
        parser.add_argument(
            "--resume",
            type=Path | None,
            default=None,
            help="Directory of a run to resume from its newest intact checkpoint, by default with its own config; "
            "`auto`: resume run_dir if it has a checkpoint, else start there.",
        )
        parser.add_argument(
            "--test_at_end",
            type=bool,
            default=True,
            help="Whether fit measures the test images once, at its end, with the checkpoint chosen by validation.",
        )
        parser.add_argument(
            "--published",
            type=Published | None,
            default=None,
            help="Published result of the recipe, which `python -m comparison` shows beside the measured one.",
        )
        parser.add_lightning_class_args(StepSeed, "step_seed")
        parser.add_lightning_class_args(Throughput, "throughput")
        parser.link_arguments("seed_everything", "step_seed.seed")
        parser.link_arguments("seed_everything", "data.init_args.seed")
        for name in FROM_DATA:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; `--resume RUN` without a config stands for the run's own."""
        if isinstance(args, dict | Namespace):
            super().parse_arguments(parser, args)
        else:
            words = sys.argv[1:] if args is None else args
            if problem := missing_run(words):
                raise ValueError(f"{problem.rstrip('.')}.")
            self.config = parser.parse_args(with_own_start(with_config_of_resumed_run(with_recipes_written_out(words))))

    def _parse_ckpt_path(self) -> None:
        """Leave the config alone: the command line wins over a checkpoint's arguments (see `_load`)."""

    def before_instantiate_classes(self) -> None:
        """Refuse what cannot work before anything is built."""
        options = self.config[self.subcommand]
        for name in PATHS:
            if options[name]:
                options[name] = type(options[name])(os.path.expanduser(options[name]))
        if not isinstance(options.trainer, Namespace):
            raise ValueError(f"trainer holds options, such as max_epochs: it cannot be {options.trainer}.")
        check_settings(options, str(self.subcommand))
        check_launch(options.trainer)
        if options.resume and self.subcommand != "fit":
            raise ValueError(f"resume belongs to fit: for {self.subcommand}, name the run with --ckpt_path.")
        if options.resume and options.ckpt_path:
            raise ValueError("resume and ckpt_path both name a checkpoint: give one of them.")
        if options.resume and options.run_dir and not _is_same(options.resume, options.run_dir):
            raise ValueError(f"{options.resume} continues where it is, not in {options.run_dir}: leave run_dir out.")
        if str(options.resume) == "auto" and not options.run_dir:
            raise ValueError("resume=auto looks for checkpoints in the run's directory: name that with --run_dir.")
        trained = options.ckpt_path or _start_weights(options.model) or options.trainer.fast_dev_run
        if self.subcommand != "fit" and not trained:
            raise ValueError(
                f"{self.subcommand} needs trained weights: name a run or a checkpoint with --ckpt_path, or weights "
                "from elsewhere with --model.weights."
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the run its directory, the loggers that directory, and the Trainer checkpoints that verify."""
        self._load_start_weights()
        self._settle_what_follows_from_the_data()
        settings = self.config_init[self.subcommand].trainer
        self._directory = self._run_directory()
        self.save_config_kwargs = {"directory": self._directory}
        directory = self._directory.path
        settings.default_root_dir = str(directory)
        for logger in _as_list(settings.logger):
            if getattr(logger, "save_dir", "") is None:
                logger.save_dir = str(directory)
            if isinstance(logger, ResilientWandbLogger):
                data, architecture = self._names()
                name = f"{architecture} on {data}, seed {self.config[self.subcommand].seed_everything}"
                logger.fill_in(
                    data, [data, architecture], name, recorded_wandb_id(directory), job_type=str(self.subcommand)
                )
        settings.callbacks = _callbacks(settings)
        if self.subcommand == "predict":
            settings.callbacks.append(PredictionWriter())
        several = device_count(settings.devices, settings.accelerator) * int(settings.num_nodes or 1) > 1
        if settings.strategy == "ddp" or (settings.strategy == "auto" and several):
            settings.strategy = WatchedDDPStrategy()
        checkpoint_io = VerifiedCheckpointIO()
        settings.plugins = [*_as_list(settings.plugins), checkpoint_io]
        trainer = super().instantiate_trainer(**kwargs)
        # The kernels are deterministic; NaN in all new memory would only find what reads it before it is written.
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        checkpoint_io.callbacks = trainer.checkpoint_callbacks
        for callback in trainer.checkpoint_callbacks:  # Lightning would ask the first logger where they lie
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(directory / CHECKPOINTS)
        warn_of_slow_bfloat16(trainer)
        return trainer

    def before_fit(self) -> None:
        """Have the record wait for the test images, if they will be measured."""
        if self._record is not None:
            self._record.waits_for_test = self._tests_at_end()

    def after_fit(self) -> None:
        """Measure the test images, once, with the checkpoint that validation chose."""
        if not self._tests_at_end():
            return
        if (chosen := chosen_checkpoint(self.trainer)) is not None:
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=chosen, verbose=False)
        elif self._record is not None:
            self._record.complete(self.trainer)

    @property
    def _record(self) -> RunRecord | None:
        """The record of the run; a trial step has none."""
        return next((one for one in self.trainer.callbacks if isinstance(one, RunRecord)), None)  # type: ignore[attr-defined]

    def _tests_at_end(self) -> bool:
        """Whether the run is to measure test images, and has any."""
        trainer = self.trainer
        has_images = is_overridden("test_dataloader", self.datamodule, LightningDataModule)
        return bool(
            self.config.fit.test_at_end
            and has_images
            and getattr(self.model, "monitor", None)
            and not trainer.fast_dev_run  # type: ignore[attr-defined]
            and trainer.limit_test_batches
        )

    def _load_start_weights(self) -> None:
        """Load the weights to start from; where a checkpoint will be loaded, they are not even read."""
        options = self.config[self.subcommand]
        if str(options.resume) == "auto":
            resumed = latest_of_run(options.run_dir, TO_RESUME) is not None
        else:
            resumed = bool(options.resume or options.ckpt_path)
        if not resumed:
            load_start_weights(self.model, whole=self.subcommand != "fit")
            source = _start_weights(options.model)
            if self.subcommand != "fit" and source:
                for line in [f"These are the weights of {source}.", *other_evaluation(source, self.datamodule)]:
                    rank_zero_info(line)
        elif isinstance(self.model, ImageClassifier):
            self.model.start_weights.clear()

    def _settle_what_follows_from_the_data(self) -> None:
        """Refuse a class count or image format that contradicts the data; put the true ones into the saved config."""
        arguments = self.config[self.subcommand].model.init_args
        for name in FROM_DATA:
            given, actual = arguments.get(name), getattr(self.datamodule, name, None)
            if actual is None:
                continue
            if given not in (None, actual):
                raise ValueError(
                    f"model.{name} is {given}, but the data set {self.datamodule.name} has {actual}: leave it out."
                )
            if name in arguments:
                arguments[name] = actual

    def _run_directory(self) -> RunDirectory:
        """The directory of this run, taken by rank 0; sets the checkpoint from which the Trainer starts.

        Raises:
            NothingToDo: The run is to go on, but is finished.
            ValueError: It cannot be written to, or another process does.
        """
        options = self.config[self.subcommand]
        root = Path(options.trainer.default_root_dir or DEFAULT_ROOT)
        self.config_init[self.subcommand].ckpt_path = None
        writes = getattr(rank_zero_only, "rank", 0) == 0 and not options.trainer.fast_dev_run

        if options.resume:
            automatic = str(options.resume) == "auto"
            path = options.run_dir if automatic else options.resume
            checkpoint = checkpoint_to_resume(path, self._problem_of)
            if checkpoint is not None:
                check_resumption(path, options)
                self._go_on(path, checkpoint)
            elif not automatic:
                raise ValueError(f"The run {path} has no checkpoint that verifies: start it anew, without --resume.")
            if not writes:
                return RunDirectory(path)
            directory = RunDirectory.of_earlier_run(path)
            remove_parts(path / CHECKPOINTS)
            return directory
        if options.ckpt_path:
            checkpoint = checkpoint_to_evaluate(options.ckpt_path)
            content = self._load(checkpoint)
            if self.subcommand == "fit" and (end := self._end_of(content)) is not None:
                raise ValueError(f"Nothing is left to train after {checkpoint} ({end[0]}): {end[1]}.")

        if not writes:
            return RunDirectory(options.run_dir or root)
        if options.run_dir:
            directory = RunDirectory.new(options.run_dir)
        else:
            directory = new_run_directory(root, *self._names(), str(self.subcommand), datetime.now())
        rank_zero_info(f"This run writes to {directory.path}.")
        return directory

    def _go_on(self, run: Path, checkpoint: Path) -> None:
        """Have the Trainer go on from a checkpoint, unless nothing is left to do."""
        content = self._load(checkpoint, TO_RESUME)
        end = self._end_of(content)
        if end is not None and not (self.config.fit.test_at_end and lacks_test(run)):
            if getattr(rank_zero_only, "rank", 0) == 0:
                complete_record(run, content)
            raise NothingToDo(f"The run {run} is finished ({end[0]}), so nothing is trained: to go on, {end[1]}.")
        rank_zero_info(f"Resuming {run} from {checkpoint.name}.")

    def _end_of(self, checkpoint: dict[str, Any]) -> tuple[str, str] | None:
        settings = self.config_init[self.subcommand].trainer
        return what_ended(checkpoint, settings, _as_list(settings.callbacks))

    def _names(self) -> tuple[str, str]:
        """Names of the data set and of the architecture; those of their classes if they have no other."""
        data, model = self.datamodule, self.model
        return getattr(data, "name", type(data).__name__), getattr(model, "architecture", type(model).__name__)

    def _load(self, checkpoint: Path, needs: tuple[str, ...] = TO_EVALUATE) -> dict[str, Any]:
        """Have the Trainer load `checkpoint`; say in what its network differs from the command line's, which wins."""
        content: dict[str, Any] = load_verified(checkpoint, needs=needs)
        if problem := self._problem_of(content):
            raise ValueError(f"The checkpoint {checkpoint} {problem}: give the config of its own run, or another file.")
        arguments = content.get("hyper_parameters")
        for line in differences(arguments if isinstance(arguments, dict) else {}, self.model.hparams):
            rank_zero_info(f"Not as in {checkpoint.name}: {line}")
        self.config_init[self.subcommand].ckpt_path = str(checkpoint)
        return content

    def _problem_of(self, checkpoint: dict[str, Any]) -> str | None:
        """What keeps the content of a checkpoint from the network, to stand behind its name."""
        saved, current = checkpoint.get("architecture"), self._names()[1]
        if saved not in (None, current):
            return f"holds a {saved}, but the command line names a {current}"
        return misfit(checkpoint["state_dict"], self.model)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Clean up, too, where a signal asks to end before the first batch or after the last, when nobody else listens."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SIGTERMException(128 + number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = [number for number in SIGNALS if number != signal.SIGINT and in_main_thread]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def chosen_checkpoint(trainer: Trainer) -> str | None:
    """The checkpoint that validation chose, if that is there."""
    paths = [one.best_model_path for one in trainer.checkpoint_callbacks if isinstance(one, BestCheckpoint)]
    return next((path for path in paths if path and Path(path).is_file()), None)


def _callbacks(settings: Namespace) -> list[Callback]:
    """The user's callbacks as they are, what keeps a run finite, and a progress bar if there is none.

    Of those in base.yaml, Lightning refuses some by other settings: these are left out. The user's own checkpoint of a
    kind that base.yaml has, too, replaces it.
    """
    callbacks = _as_list(settings.callbacks)
    last = {type(callback): callback for callback in callbacks}
    checkpoints = (BestCheckpoint, LatestCheckpoint)
    kept = [callback for callback in callbacks if type(callback) not in checkpoints or callback is last[type(callback)]]
    if settings.logger is False:
        kept = [callback for callback in kept if not isinstance(callback, LearningRateMonitor)]
    if settings.enable_checkpointing is False:
        kept = [callback for callback in kept if type(callback) not in checkpoints]
    if settings.enable_progress_bar in (None, True) and not any(isinstance(one, ProgressBar) for one in kept):
        kept.append(EpochProgressBar())
    if not any(isinstance(callback, KeepFinite) for callback in kept):
        kept.append(KeepFinite())
    return [*kept, CheckBeforeFirstStep(), StopWithoutSaving(), LastWords(), StragglerWatch()]


def _start_weights(model: Namespace) -> str | None:
    weights: str | None = (model.get("init_args") or {}).get("weights")
    return weights


def _is_same(resume: Path, run_dir: Path) -> bool:
    return str(resume) == "auto" or resume.resolve() == run_dir.resolve()


def _as_list(setting: Any) -> list[Any]:
    if isinstance(setting, list):
        return setting
    return [] if setting is None else [setting]
