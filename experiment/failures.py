"""What an exception of another library means: one sentence with a remedy, in one table.

A new kind of failure is a function below and a line of `RULES`; what any command can meet is in `records.failures`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb

import torch.distributed

from lightning_modules import NonFiniteLossError
from records.failures import (
    FAILED,
    MISTAKE,
    Failure,
    chain,
    disk,
    encoding,
    home,
    memory,
    number,
    one_sentence,
    package,
)

ROOT = Path(__file__).resolve().parents[1]


def failure_of(error: BaseException) -> Failure | None:
    """What an error means, or what one of those means that it was raised from; None if nothing here knows it."""
    links = list(chain(error))
    for rule in RULES:
        for link in links:
            if (failure := rule(link)) is not None:
                notes = [note for one in links for note in getattr(one, "__notes__", ()) if failure.code == FAILED]
                return failure._replace(sentence=" ".join([failure.sentence, *notes]))
    return None


def _not_finite(error: BaseException) -> Failure | None:
    return Failure(str(error), FAILED) if isinstance(error, NonFiniteLossError) else None


def _checkpoint_does_not_fit(error: BaseException) -> Failure | None:
    """Whatever is raised while the parts of a checkpoint are put in their places, but by those who mean the user."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if not frames or isinstance(error, OSError | MemoryError):
        return None
    if isinstance(error, ValueError) and (ROOT / str(frames[-1].f_globals.get("__name__")).partition(".")[0]).exists():
        return None
    for frame in frames:
        file, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        restoring = file.name == "checkpoint_connector.py" and re.match("_?(restore|resume)", name)
        if restoring or file == ROOT / "experiment" / "resume.py":
            reason = f"{type(error).__name__}: {one_sentence(error).rstrip('.')}"
            return Failure(
                f"The checkpoint does not hold what this network, optimizer and Trainer need ({reason}): give the "
                "config of its own run, or an earlier checkpoint.",
                MISTAKE,
            )
    return None


ARGUMENTS = {"learning rate": "lr", "epsilon": "eps", "beta": "betas", "momentum": "momentum", "weight": "weight_decay"}
"""Arguments of optimizers, by a word of what torch.optim says of them."""


def _optimization(error: BaseException) -> Failure | None:
    """What torch.optim refuses: rates below zero, schedules without a length or with too short a one."""
    if not isinstance(error, ValueError | TypeError | RuntimeError | KeyError | IndexError | AttributeError):
        return None
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if not frames:
        return None
    frame = frames[-1]
    module = str(frame.f_globals.get("__name__"))
    if not module.startswith("torch.optim"):
        return None
    refused = one_sentence(error).rstrip(".")
    schedule = module.endswith(("lr_scheduler", "swa_utils"))
    name = type(frame.f_locals["self"]).__name__ if "self" in frame.f_locals else module.rpartition(".")[2]
    if steps := re.search(r"Tried to step \d+ times.*is (\d+)", refused):
        return Failure(
            f"{name} ends after {steps[1]} steps, before the run does: raise its total_steps to the steps of the run, "
            "in the unit that model.lr_scheduler_interval says.",
            MISTAKE,
        )
    if schedule:
        return Failure(f"{name} refuses its options ({refused}): change model.lr_scheduler.init_args.", MISTAKE)
    argument = next((name for word, name in ARGUMENTS.items() if word in refused.lower()), "…")
    return Failure(f"{name} refuses its options ({refused}): change model.optimizer.init_args.{argument}.", MISTAKE)


def _monitor(error: BaseException) -> Failure | None:
    text = str(error)
    found = re.search(r"conditioned on metric `(.+?)`|monitor='(.+?)'|metric (\S+) which is not available", text)
    if not found or not re.search("available|could not find", text):
        return None
    name = next(group for group in found.groups() if group).strip("`")
    rest = text.partition("following")[2] or text.partition("metrics")[2].partition("HINT")[0]
    known = re.findall(r"[`'\"]([\w./-]+)[`'\"]", rest)
    logged = ", ".join(dict.fromkeys(one for one in known if one not in (name, "epoch", "step")))
    return Failure(f"monitor: {name} is not logged{f': choose among {logged}' if logged else ''}.", MISTAKE)


def _compiler(error: BaseException) -> Failure | None:
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    return Failure(
        f"torch.compile failed ({one_sentence(error).rstrip('.')}): install a C++ compiler, or set --model.compile "
        "false.",
        MISTAKE,
    )


def _device(error: BaseException) -> Failure | None:
    text = str(error)
    if re.search(r"NVIDIA driver|CUDA error: (no kernel image|invalid device|out of range)|cudaGetDeviceCount", text):
        return Failure(
            f"The GPU cannot be used ({one_sentence(error).rstrip('.')}): install a driver and a torch that fit it, or "
            "use --trainer.accelerator cpu.",
            MISTAKE,
        )
    return None


PEERS = (
    r"[Cc]onnection (closed|reset|refused)|Broken pipe|Timed out (waiting|after)|[Ss]ocket (closed|[Tt]imeout)|gloo"
    r"|GLHF|NCCL|remote process|Watchdog|monitoredBarrier|Connect timeout"
)


def is_about_peers(error: BaseException) -> bool:
    """Whether an error means no more than that another process of the run is gone or does not answer."""
    known = type(error) is RuntimeError or isinstance(error, torch.distributed.DistError | ConnectionError)
    return known and re.search(PEERS, str(error)) is not None


def _peers(error: BaseException) -> Failure | None:
    if type(error).__name__ == "MissingRankError":
        return Failure(str(error), FAILED)
    if not is_about_peers(error):
        return None
    if getattr(error, "__notes__", None):  # they name it
        return Failure("The run cannot go on:", FAILED)
    return Failure("Another process of this run is gone or does not answer: see what the others say.", FAILED)


def _attribute_of_a_network(error: BaseException) -> Failure | None:
    """A callback that asks the network for a part that it has not, such as BackboneFinetuning for `backbone`."""
    found = re.fullmatch(r"'(\w+)' object has no attribute '(\w+)'", str(error))
    if not isinstance(error, AttributeError) or not found:
        return None
    for frame, _ in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith("lightning.pytorch.callbacks.") and "self" in frame.f_locals:
            name = type(frame.f_locals["self"]).__name__
            return Failure(f"{name} needs {found[2]}, which {found[1]} has not: leave {name} out.", MISTAKE)
    return None


LIGHTNING = {
    r"(-?\d+) is not in bounds, numpy accepts from 0 to (\d+)": "seed_everything must be from 0 to {1}, not {0}.",
    r"enable_progress_bar=False` but found `(\w+)`": (
        "{0} is among the callbacks, and trainer.enable_progress_bar is false: leave one of the two out."
    ),
    r"multiple progress bar callbacks": "The callbacks have more than one progress bar: leave all but one out.",
    r"invalid strategy name: `strategy='(.*?)'`": (
        "trainer.strategy {0} is not known: use auto, or ddp for several devices."
    ),
    r"invalid accelerator name: `accelerator='(.*?)'`": (
        "trainer.accelerator {0} is not known: use auto, cpu, gpu, mps or tpu."
    ),
    r"invalid value (\S+) for (\w+)": (
        "trainer.{1} is {0}: give a share from 0.0 to 1.0, or a whole number of batches."
    ),
}
"""Mistakes that Lightning finds but has no remedy for."""


def _lightning(error: BaseException) -> Failure | None:
    for pattern, sentence in LIGHTNING.items():
        if found := re.search(pattern, str(error)):
            return Failure(sentence.format(*found.groups()), MISTAKE)
    return None


RULES: tuple[Callable[[BaseException], Failure | None], ...] = (
    _not_finite,
    disk,
    memory,
    _checkpoint_does_not_fit,
    _optimization,
    package,
    _monitor,
    _compiler,
    _device,
    home,
    _attribute_of_a_network,
    encoding,
    number,
    _lightning,
    _peers,  # the last: with an error of this process in the chain, the others left because of it
)
