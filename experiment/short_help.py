"""Help that fits on a few screens: the options that most runs need, in our words; --trainer.help shows the others."""

import argparse
from typing import Any, Union, get_args, get_origin

from lightning.pytorch.cli import LightningArgumentParser

# Options of Lightning's Trainer that every help shows.
COMMON = ("accelerator", "devices", "max_epochs", "max_steps", "max_time", "precision", "fast_dev_run")
# Options that are set by others, or that Lightning has and a run here never needs.
NEVER = ("step_seed", "throughput", "weights_only")
TITLES = {
    "trainer": "Trainer",
    "model": "Network",
    "data": "Data set",
    "throughput": "Throughput",
    "step_seed": "Seed of each step",
}
TEXTS = {
    "config": "File of options in YAML, or the name of a recipe in configs/recipes. What comes later wins.",
    "print_config": "Print the options in force and exit. Flags: skip_default, skip_unset.",
    "seed_everything": "Seed of the run; true draws one.",
    "trainer.accelerator": "Kind of device: auto, cpu, gpu, mps or tpu.",
    "trainer.devices": "Number of devices, a list of their indices, or auto.",
    "trainer.precision": "Number format, such as 32-true, bf16-mixed or 16-mixed.",
    "trainer.fast_dev_run": "Number of batches in a trial that leaves nothing behind; true is 1.",
    "trainer.max_epochs": "Largest number of epochs; -1 for no limit.",
    "trainer.max_steps": "Largest number of steps; -1 for no limit.",
    "trainer.max_time": "Longest time of the training, as DD:HH:MM:SS.",
    "model": "Class of the network. --model.OPTION sets its options, --model.help CLASS shows them.",
    "data": "Class of the data set. --data.OPTION sets its options, --data.help CLASS shows them.",
    "ckpt_path": "Run or checkpoint whose weights are loaded. For a run, its best checkpoint, or the latest of a GAN.",
}


class TrainerHelp(argparse.Action):
    """Prints all options of Lightning's Trainer, in Lightning's words, and exits."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Print them."""
        assert isinstance(parser, ShortHelpParser)
        parser.asked_for_trainer = True
        parser.print_help()
        parser.exit()


class ShortHelpParser(LightningArgumentParser):
    """A parser whose help leaves the rarer options of the Trainer to `--trainer.help`."""

    asked_for_trainer = False

    def add_lightning_class_args(self, lightning_class: Any, nested_key: str, *more: Any, **kwargs: Any) -> list[str]:
        """Add the options of a class under a title of ours."""
        earlier = set(self._action_groups)
        added = super().add_lightning_class_args(lightning_class, nested_key, *more, **kwargs)
        for action in self._actions:
            if hasattr(action, "_typehint"):
                action._typehint = _whole_numbers_first(action._typehint)
        for group in set(self._action_groups) - earlier:
            group.title = TITLES.get(nested_key, group.title)
        if nested_key == "trainer":
            texts: dict[str, Any] = {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS, "nargs": 0}
            self.add_argument("--trainer.help", action=TrainerHelp, help="Show all options of the Trainer.", **texts)
        return added

    def add_subcommands(self, *args: Any, **kwargs: Any) -> Any:
        """Add commands that the help describes as they describe themselves."""
        return _Commands(super().add_subcommands(*args, **kwargs))

    def format_help(self, formatter: Any = None) -> str:
        """The help in short, or all of the Trainer's options."""
        texts = {action: action.help for action in self._actions}
        for action in self._actions:
            if not self._shows(action):
                action.help = argparse.SUPPRESS
            elif not self.asked_for_trainer:
                action.help = TEXTS.get(action.dest, action.help)
        for group in self._action_groups:  # Lightning calls this one as the docstring of Trainer.fit begins
            if any(action.dest == "ckpt_path" for action in group._group_actions):
                group.title = "Checkpoint"
        try:
            return super().format_help(formatter)
        finally:
            for action, text in texts.items():
                action.help = text

    def _shows(self, action: argparse.Action) -> bool:
        name = next(iter(action.option_strings), action.dest).lstrip("-")
        room, _, option = name.partition(".")
        if self.asked_for_trainer:
            return room == "trainer" and option != "help"
        return room not in NEVER and (room != "trainer" or option in ("help", *COMMON))


class _Commands:
    """The commands of a parser, each with the first sentence of its own description.

    Args:
        action: Those of jsonargparse.
    """

    def __init__(self, action: Any) -> None:
        self._action = action

    def add_subcommand(self, name: str, parser: argparse.ArgumentParser, help: str) -> None:
        """Add a command; Lightning's `help`, made for programmers, is left out."""
        self._action.add_subcommand(name, parser, help=(parser.description or help).partition(". ")[0])


def _whole_numbers_first(hint: Any) -> Any:
    """A union of types in which int stands before float, as Lightning writes it.

    Python keeps only the first spelling of two equal unions. If a library has named float first, the 1 of
    --trainer.limit_train_batches would be read as 1.0: not one batch, but all of them.
    """
    alternatives = get_args(hint)
    if get_origin(hint) is Union and {int, float} <= {*alternatives}:
        return Union[tuple(sorted(alternatives, key=lambda one: one is not int))]  # noqa: UP007
    return hint
