"""Which modules a config may name classes of: a config from elsewhere must not run what it likes."""

import os

from jsonargparse import set_parsing_settings

VARIABLE = "TRUSTED_IMPORTS"
TRUSTED = (
    *("callbacks", "datamodules", "experiment", "lightning_modules"),
    *(f"lightning.pytorch.{part}" for part in ("accelerators", "callbacks", "loggers", "plugins", "profilers")),
    *("lightning.pytorch.strategies", "lightning.pytorch.cli.ReduceLROnPlateau", "lightning.fabric.plugins"),
    *("torch.optim", "torch.distributed.algorithms.ddp_comm_hooks", "records.config.Published"),
)
# It takes any functions as arguments.
EXCEPTION = "lightning.pytorch.callbacks.lambda_function"


def trust_known_modules() -> None:
    """Refuse class paths outside the project, Lightning's parts of a Trainer and what of PyTorch a recipe needs.

    jsonargparse imports what a `class_path` names before it looks whether it is of the right class, and importing is
    running. The environment variable TRUSTED_IMPORTS adds modules of the user's own, separated by spaces.

    Raises:
        ValueError: The variable holds something other than import paths.
    """
    own = os.environ.get(VARIABLE, "").split()
    if wrong := [path for path in own if not all(part.isidentifier() for part in path.split("."))]:
        raise ValueError(f"{VARIABLE} lists modules, such as my_package my_package.networks: {wrong[0]} is none.")
    set_parsing_settings(import_path_denylist=["*", EXCEPTION], import_path_allowlist=[*TRUSTED, *own])
