"""What the process that forks imports, and does once for all others: jsonargparse reads the classes' sources."""

import atexit
import contextlib
import gc
import io
from pathlib import Path

import wandb  # noqa: F401

from main import main

CONFIGS = Path(__file__).parents[1] / "configs"

for model in ("model/resnet20", "gan/dcgan"):
    words = [f"--config={CONFIGS / name}.yaml" for name in ("base", "data/digits", model)]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(["fit", *words, "--print_config"])

gc.freeze()  # a process that looks for garbage among all this would copy it
atexit.register(gc.unfreeze)  # or libraries complain of leaks
