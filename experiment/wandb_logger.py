"""Weights & Biases that can neither stop a run nor hold it up: online where it can be, offline otherwise."""

import functools
import math
import os
import secrets
import shutil
import string
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from wandb.sdk import wandb_setup

from experiment.wandb_artifacts import class_error_tables, data_set_artifact, log_checkpoint
from experiment.wandb_connection import Mode, choose_mode, has_key, server_problem
from records.layout import METRICS, WANDB
from records.metrics import BETTER

START_SECONDS = 5.0
OFFLINE_START_SECONDS = 2.0
FINISH_SECONDS = 25.0
FLUSH_SECONDS = 2.0

STEP_AXIS = "images_seen"
METRIC_GROUPS = (
    *("train/*", "val/*", "best/*", "test/*", "throughput/*", "gradients/*", "scaling/*", "pictures/*", "lr-*"),
)
DEFAULT_PROJECT = "landmark-image-networks"
# How W&B shows a run that did not come to its end; it calls "killed" what ends like Ctrl+C.
EXIT_CODES = {"failed": 1, "preempted": 143, "stopped": 255}

# wandb-core reports its own errors to the server: with one that never answers, that holds up the exit for 22 s.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def better_values(best: Mapping[str, float], metrics: Mapping[str, float]) -> dict[str, float]:
    """The values of ``metrics`` that are the best of the run so far.

    Args:
        best: Best values so far, by metric.
        metrics: New values, of any metrics.

    Returns:
        New best values by metric; empty if nothing improved. NaN is never the best.
    """
    improved = {}
    for name, direction in BETTER.items():
        value = float(metrics.get(name, math.nan))
        sign = 1 if direction == "max" else -1
        if not math.isnan(value) and (name not in best or sign * value > sign * best[name]):
            improved[name] = value
    return improved


def best_key(metric: str) -> str:
    """Name in the summary of the best value of a metric: ``best/val_acc1`` of ``val/acc1``."""
    return f"best/{metric.replace('/', '_')}"


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of Lightning's logger whose failure does not reach the training; it then returns None."""

    @functools.wraps(method)
    def guarded(self: "ResilientWandbLogger", *arguments: Any, **options: Any) -> Any:
        return self._guard(lambda: method(self, *arguments, **options))

    return guarded


class ResilientWandbLogger(WandbLogger):
    """Weights & Biases, online with a key and a server that answers, offline otherwise.

    The start of a run is held up by five seconds at most and its end by thirty, and no failure of W&B reaches the
    training. In the summary, ``val/acc1`` is the last value and ``best/val_acc1`` the best one. What an offline run
    logs after it is resumed becomes a run of its own, grouped with the first: wandb numbers the rows of each log from
    zero, and of two logs of one id would lose rows when syncing. Its best values are those of its own part.

    Options of the command line or a config say first where the run is filed; what they leave open, the variables
    WANDB_ENTITY, WANDB_PROJECT, WANDB_RUN_GROUP, WANDB_JOB_TYPE, WANDB_TAGS (separated by commas), WANDB_NAME and
    WANDB_NOTES say; what these leave open, main.py fills in: data set, command, both names as tags, and a name.

    Args:
        entity: User or team that the project belongs to; by default W&B's own default of the account.
        project: Project of the run; landmark-image-networks by default.
        group: Group of the run: what is to be compared.
        tags: Tags of the run, such as data set and architecture.
        job_type: Kind of the run within its group, such as fit.
        notes: Remarks on the run, which its page shows.
        name: Name of the run; chosen by W&B if left out.
        id: Id of the run to continue; a new one if left out.
        offline: Write the log without contacting the server; ``wandb sync`` uploads it later.
        save_dir: Directory of the run, which gets a folder ``wandb``. The command line fills it in.
        log_model: Upload checkpoints as an artifact: the best and the last one at the end, with the aliases ``best``
            and ``last`` (true), or each as it is saved (``all``). The data set becomes an artifact without its files,
            which the run uses. Ignored in an offline run.
    """

    def __init__(
        self,
        *,
        entity: str | None = None,
        project: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        name: str | None = None,
        id: str | None = None,
        offline: bool = False,
        save_dir: str | None = None,
        log_model: Literal["all"] | bool = False,
    ) -> None:
        # Lightning is not told of `offline`: it refuses log_model with it, and exports WANDB_MODE to later runs.
        project = project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
        super().__init__(project=project, log_model=log_model)
        self.save_dir = save_dir
        self._uploads = bool(log_model)
        self._log_every_checkpoint = log_model == "all"
        self._savers: dict[type, Any] = {}  # of checkpoints, the last of each kind
        self._offline_requested = offline
        self._id_given = bool(id or os.environ.get("WANDB_RUN_ID"))
        self._best: dict[str, float] = {}
        self._ending: str | None = None
        self._run_id = id or os.environ.get("WANDB_RUN_ID") or new_run_id()
        self._options: dict[str, Any] = {  # of wandb.init
            "entity": entity or os.environ.get("WANDB_ENTITY"),
            "project": project,
            "group": group or os.environ.get("WANDB_RUN_GROUP"),
            "tags": tags or [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag] or None,
            "job_type": job_type or os.environ.get("WANDB_JOB_TYPE"),
            "notes": notes or os.environ.get("WANDB_NOTES"),
            "name": name or os.environ.get("WANDB_NAME"),
            "id": self._run_id,
            "resume": "allow" if id else None,
        }

    @property
    def save_dir(self) -> str | None:
        """Directory of the run; the current directory if it was never given."""
        return self._directory

    @save_dir.setter
    def save_dir(self, directory: str | None) -> None:
        self._directory = directory

    @property
    def run_id(self) -> str:
        """Id of the run: give it as ``id`` to continue the run."""
        return self._run_id

    @property
    def version(self) -> str:
        """Id of the run."""
        return self.run_id

    def fill_in(self, group: str, tags: list[str], name: str, id: str | None, job_type: str | None = None) -> None:
        """Set what the config left open; to be called before the run starts.

        Args:
            group: Group of the run.
            tags: Tags of the run.
            name: Name of the run.
            id: Id of the run to continue, or None.
            job_type: Kind of the run.
        """
        for option, value in {"group": group, "tags": tags, "name": name, "job_type": job_type}.items():
            if not self._options[option]:
                self._options[option] = value
        if id is not None and not self._id_given:
            self._run_id = id
            self._options.update(id=id, resume="allow")  # without, W&B would begin the run of this id anew

    @property
    @rank_zero_experiment
    def experiment(self) -> wandb.Run:
        """The wandb run, started on first use; on other ranks a stand-in that ignores every call."""
        if self._experiment is None:
            attach_id = getattr(self, "_attach_id", None)
            try:
                self._experiment = wandb.attach(attach_id) if attach_id else self._start()  # type: ignore[attr-defined]
            except Exception as error:
                rank_zero_warn(f"W&B is off, it could not start: {_first_line(error)}.")
                self._switch_off()
        return cast(wandb.Run, self._experiment)

    # Each makes its tables, pictures and files before it logs them, which fails where a folder has vanished.
    log_table = _guarded(WandbLogger.log_table)
    log_text = _guarded(WandbLogger.log_text)
    log_image = _guarded(WandbLogger.log_image)
    log_audio = _guarded(WandbLogger.log_audio)
    log_video = _guarded(WandbLogger.log_video)
    watch = _guarded(WandbLogger.watch)
    use_artifact = _guarded(WandbLogger.use_artifact)

    @staticmethod
    def download_artifact(*arguments: Any, **options: Any) -> Any:
        """As Lightning's, but None where W&B fails."""
        try:
            return WandbLogger.download_artifact(*arguments, **options)
        except Exception as error:
            rank_zero_warn(f"W&B returned no artifact ({_first_line(error)}).")
            return None

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Add hyperparameters to the config of the run."""
        self._guard(lambda: super(ResilientWandbLogger, self).log_hyperparams(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one row, in that of a validation with the best values so far, which sweeps optimize.

        Args:
            metrics: Values by name.
            step: Optimizer steps before this one.
        """

        def log() -> None:
            run, improved = self.experiment, better_values(self._best, metrics)
            self._best |= improved
            best = {best_key(name): self._best[name] for name in BETTER if name in metrics and name in self._best}
            run.log({**metrics, **best} if step is None else {**metrics, **best, "step": step})
            if improved:
                run.summary.update({best_key(name): value for name, value in improved.items()})

        self._guard(log)

    @rank_zero_only
    def record_config(self, config: Mapping[str, Any]) -> None:
        """Add plain values, such as the resolved config and the model card, to the config of the run."""

        def record() -> None:
            self.experiment.config.update(dict(config), allow_val_change=True)
            if self._uploads and isinstance(data := config.get("data"), Mapping) and data.get("name"):
                self.experiment.use_artifact(data_set_artifact(data))

        self._guard(record)

    @rank_zero_only
    def alert(self, title: str, text: str) -> None:
        """Tell the user of something by e-mail or chat, as the account's settings say; nothing in an offline run."""
        self._guard(lambda: self.experiment.alert(title=title, text=text, level="WARN"))

    @rank_zero_only
    def log_class_errors(self, directory: Path) -> None:
        """Log the confusion matrix and the surest mistakes with their pictures, if the run has recorded any."""

        def log() -> None:
            if tables := class_error_tables(directory):
                self.experiment.log(tables)

        self._guard(log)

    def note_ending(self, ending: Literal["failed", "preempted", "stopped"]) -> None:
        """Have W&B show that the run did not come to its end, once nothing more is logged."""
        self._ending = ending

    @rank_zero_only
    def record_summary(self, summary: Mapping[str, Any]) -> None:
        """Add plain values, such as final metrics, to the summary of the run."""
        self._guard(lambda: self.experiment.summary.update(dict(summary)))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Upload the checkpoint if ``log_model`` asks for each, else note it for the end."""
        if self._uploads and self._log_every_checkpoint:
            self._guard(lambda: super(ResilientWandbLogger, self).after_save_checkpoint(checkpoint_callback))
        elif self._uploads:
            self._savers[type(checkpoint_callback)] = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Upload the checkpoints that ``log_model`` asks for; end a run that did not come to its end as what it is."""

        def upload() -> None:
            for saver in self._savers.values():
                log_checkpoint(self.experiment, saver)
            self._savers.clear()

        def end() -> None:
            if self._ending == "preempted":
                self.experiment.mark_preempting()
            self.experiment.finish(exit_code=EXIT_CODES[self._ending or "failed"])

        if self._uploads and status == "success":
            self._guard(upload)
        if self._ending is not None and self._experiment is not None:
            self._guard(end)

    def end(self) -> None:
        """End the W&B run, if it has begun: its folder is about to be removed."""
        if self._experiment is not None:
            self._guard(self._experiment.finish)

    def _guard(self, action: Callable[[], Any]) -> Any:
        """Run ``action``; if wandb itself fails, go on without it."""
        try:
            return action()
        except Exception as error:
            rank_zero_warn(f"W&B stopped logging ({_first_line(error)}); the metrics are in the run's {METRICS}.")
            self._switch_off()

    def _switch_off(self) -> None:
        self._uploads = False
        try:
            self._experiment = wandb.init(mode="disabled")
        except Exception:  # not even that
            self._experiment = cast(Any, _Silence())

    def _start(self) -> wandb.Run:
        """Start the run: in the best mode that works, within ``START_SECONDS``."""
        started = time.monotonic()
        settings = wandb_setup.singleton().settings  # wandb.setup() would start its service, wanted or not
        mode, reason = choose_mode(
            settings.mode,
            self._offline_requested,
            lambda: has_key(settings.base_url),
            lambda: server_problem(settings.base_url),
        )
        os.makedirs(self.save_dir or ".", exist_ok=True)
        if mode in ("online", "shared"):
            try:
                return self._init(mode, START_SECONDS - OFFLINE_START_SECONDS - (time.monotonic() - started))
            except Exception as error:
                reason = _first_line(error)
                self._abandon_failed_start()
        if mode == "disabled":
            return wandb.init(mode="disabled")
        return self._start_offline(str(reason))

    def _start_offline(self, reason: str) -> wandb.Run:
        if self._options["resume"]:
            group = self._options["group"] or self.run_id
            self._options.update(id=new_run_id(), resume=None, group=group)
        try:
            run = self._init("offline", START_SECONDS)
        except Exception as error:
            rank_zero_warn(f"W&B is off, it could not start even offline: {_first_line(error)}.")
            return wandb.init(mode="disabled")
        rank_zero_info(f"W&B is offline ({reason}); upload later with: wandb sync {Path(run.dir).parent}")
        if self._uploads:
            rank_zero_warn("log_model is ignored: an offline W&B run uploads no checkpoints.")
            self._uploads = False
        return run

    def _init(self, mode: Mode, init_timeout: float) -> wandb.Run:
        run = wandb.init(
            **self._options,
            dir=self.save_dir,
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="wrap",  # into output.log, which W&B keeps; less deep in the process than "redirect"
                init_timeout=init_timeout,
                finish_timeout=FINISH_SECONDS,
                x_transaction_log_flush_interval=FLUSH_SECONDS,
            ),
        )
        run.define_metric(STEP_AXIS)
        for group in METRIC_GROUPS:
            run.define_metric(group, step_metric=STEP_AXIS, step_sync=True)
        # Not define_metric(summary="max"): it makes a mapping of the summary's val/acc1, which no chart finds.
        earlier = {name: run.summary.get(best_key(name)) for name in BETTER}  # of a run that is continued
        self._best = {name: float(value) for name, value in earlier.items() if value is not None}
        if mode != "offline":
            rank_zero_info(f"W&B run: {run.url}")
        return run

    def _abandon_failed_start(self) -> None:
        """Free the way for an offline start: wandb still holds the id, and would upload the empty folder some day."""
        for folder in Path(self.save_dir or ".", WANDB).glob(f"run-*-{self.run_id}"):
            shutil.rmtree(folder, ignore_errors=True)
        if not self._options["resume"]:
            self._run_id = self._options["id"] = new_run_id()


class _Silence:
    """Takes every call and does nothing."""

    def __getattr__(self, name: str) -> "_Silence":
        return self

    def __call__(self, *_: Any, **__: Any) -> "_Silence":
        return self


def new_run_id() -> str:
    """An id as wandb gives them: eight random lower-case letters and digits."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
