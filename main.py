"""Train and evaluate the landmark image networks: `python main.py fit --config configs/base.yaml --config …`."""

from experiment.installation import explained_imports

with explained_imports():
    # The command line knows the classes of these packages by their short names: `--model ResNet`, `--data CIFAR10`.
    import callbacks  # noqa: F401
    import datamodules  # noqa: F401
    import lightning_modules  # noqa: F401
    from experiment.cli import ExperimentCLI
    from experiment.usage_errors import one_line_for_usage_errors


def main(args: list[str] | None = None) -> None:
    """Run `fit`, `validate`, `test` or `predict`.

    A mistake ends it with one line and exit code 2; a run that fails by itself, because its loss is no longer finite, a
    disk is full or another process is gone, with one line and exit code 1.

    Args:
        args: Words of the command line; by default those of the process.
    """
    with one_line_for_usage_errors():
        ExperimentCLI(args)


if __name__ == "__main__":
    main()
