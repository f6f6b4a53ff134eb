"""Train, evaluate and compare the landmark image networks: `python main.py fit --config configs/base.yaml --config …`."""

import sys

from experiment.installation import check_installation


def main(args: list[str] | None = None) -> None:
    """Run one command; a mistake of the user's ends it with one line and exit code 2."""
    check_installation()
    # Imported for their short names: `--model ResNet`, `--data CIFAR10`.
    import callbacks
    import datamodules
    import lightning_modules
    from experiment.cli import ExperimentCLI

    ExperimentCLI(args)


if __name__ == "__main__":
    main()
