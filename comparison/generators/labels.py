"""Labels: what tells experiments apart, in a few words of their configurations."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from comparison.generators.records import GeneratorRun
from comparison.labels import distinguish

OBJECTIVE = "model.init_args.objective"  # its values say what they are
# What a reader of papers would call two GANs different by, then what else is part of the experiment.
MOST_TELLING = (
    OBJECTIVE,
    *(f"model.init_args.{name}" for name in ("conditional", "labels_per_class", "feature_matching")),
    *(f"model.init_args.{name}" for name in ("gradient_penalty", "weight_clip", "r1", "network_options")),
    *("trainer.max_epochs", "trainer.limit_train_batches", "data.init_args.batch_size"),
    *("model.init_args.generator_optimizer", "model.init_args.discriminator_optimizer", "model", "data", "trainer"),
)
# They draw, measure and save, and change nothing of the training.
NOT_TELLING = ("trainer.callbacks.", "trainer.limit_val_batches", "trainer.limit_test_batches", "throughput.")


def label_runs(runs: Sequence[GeneratorRun]) -> list[GeneratorRun]:
    """Name the runs of one data set: their networks, what sets them apart from others of the same, and the seed.

    Returns:
        The runs in the order of their labels, each of which is unique.
    """
    by_networks: dict[str, list[GeneratorRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.networks, run.directory.as_posix())):
        by_networks[run.networks].append(run)
    labeled = []
    for networks, same in by_networks.items():
        differences = distinguish([_experiment(run) for run in same], MOST_TELLING, (OBJECTIVE,))
        by_label: dict[str, list[GeneratorRun]] = defaultdict(list)
        for run, difference in zip(same, differences, strict=True):
            by_label[f"{networks} ({difference})" if difference else networks].append(run)
        for label, alike in by_label.items():
            suffixes = _suffixes(alike)
            labeled += [
                replace(run, experiment=label, label=label + more) for run, more in zip(alike, suffixes, strict=True)
            ]
    return sorted(labeled, key=lambda run: run.label)


def _experiment(run: GeneratorRun) -> Mapping[str, str]:
    return {path: value for path, value in run.configuration.items() if not path.startswith(NOT_TELLING)}


def _suffixes(alike: Sequence[GeneratorRun]) -> list[str]:
    """What tells runs of one experiment apart: the seed, and a number where it is the same."""
    several = len({run.seed for run in alike}) > 1
    seeds = [f", seed {run.seed}" if several and run.seed is not None else "" for run in alike]
    number: Counter[str] = Counter()
    suffixes = []
    for seed in seeds:
        number[seed] += 1
        suffixes.append(f"{seed} #{number[seed]}" if seeds.count(seed) > 1 else seed)
    return suffixes
