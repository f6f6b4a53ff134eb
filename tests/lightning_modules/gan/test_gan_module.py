"""The two-optimizer module: who is updated when and by what, what is refused, and what the command line makes of it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules import Digits
from lightning_modules import GAN
from lightning_modules.finite_loss import NonFiniteLossError
from lightning_modules.gan.draws import Draws
from lightning_modules.gan.semi_supervised import first_of_each_class
from lightning_modules.gan.stabilizers import Stabilizers

SMALL: dict[str, Any] = {"networks": "mlp", "network_options": {"width": 16, "units": 8}}


def gan(**options: Any) -> GAN:
    stabilizers = {name: options.pop(name) for name in Stabilizers.__dataclass_fields__ if name in options}
    options["stabilizers"] = Stabilizers(**stabilizers)
    return GAN(**{**SMALL, "in_channels": 1, "image_size": 32, **options})


def trainer(folder: Path, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "limit_val_batches": 0, "accelerator": "cpu"}
    return Trainer(default_root_dir=folder, **{**quiet, "max_steps": 4, **options})


def data(**options: Any) -> Digits:
    return Digits(**{"normalization": "symmetric", "batch_size": 32, "crop_padding": 0, **options})


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()]).clone()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "minimax", "label_smoothing": 0.1},
        {"objective": "hinge", "discriminator_steps": 2},
        {"objective": "wasserstein", "weight_clip": 0.01},
        {"objective": "wasserstein", "gradient_penalty": 10.0},
        {"objective": "least_squares", "generator_batch": 2},
        {"r1": 10.0, "ema_decay": 0.9},
        {"historical_averaging": 0.1, "instance_noise": 0.1, "instance_noise_steps": 3},
        {"feature_matching": "squared"},
        {"feature_matching": "absolute", "conditional": True},
        {"conditional": True, "channels_last": True},
        {"accumulate_batches": 2, "gradient_clip_val": 0.1},
        {"networks": "dcgan", "network_options": {"width": 4}},
        {"networks": "resnet", "network_options": {"generator_width": 4, "discriminator_width": 4}},
    ],
)
def test_both_networks_learn(tmp_path: Path, options: dict[str, Any]) -> None:
    network = gan(**options)
    before = weights(network.generator), weights(network.discriminator)
    trainer(tmp_path).fit(network, datamodule=data())
    for old, now in zip(before, (weights(network.generator), weights(network.discriminator)), strict=True):
        assert now.isfinite().all()
        assert not torch.equal(old, now)
    assert network.sample(3, seed=1).shape == (3, 1, 32, 32)


def test_neither_player_moves_the_other(tmp_path: Path) -> None:
    still = {"discriminator": lambda parameters: torch.optim.SGD(parameters, lr=0.0)}
    still["generator"] = still["discriminator"]
    for player, other in (("discriminator", "generator"), ("generator", "discriminator")):
        network = gan(**{f"{player}_optimizer": still[player]})
        network.on_fit_start = lambda: None  # type: ignore[method-assign]
        before = weights(getattr(network, player)), weights(getattr(network, other))
        trainer(tmp_path).fit(network, datamodule=data())
        assert torch.equal(weights(getattr(network, player)), before[0])
        assert not torch.equal(weights(getattr(network, other)), before[1])


def test_the_generator_waits_for_its_turn(tmp_path: Path) -> None:
    network = gan(discriminator_steps=3)
    updates = []
    generator = network.players[1]
    step = generator.update
    generator.update = lambda module: (updates.append(network.batches), step(module))[1]  # type: ignore[method-assign,func-returns-value]
    fit = trainer(tmp_path, max_steps=7)
    fit.fit(network, datamodule=data())
    assert updates == [2, 5]
    assert (fit.global_step, network.batches) == (7, 7)


def test_gradients_of_accumulated_batches_are_their_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    for accumulate, size in ((1, 64), (2, 32)):
        network = gan(
            network_options={"width": 16, "units": 8, "dropout": 0.0, "input_dropout": 0.0},
            accumulate_batches=accumulate,
            generator_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        )
        monkeypatch.setattr(Draws, "latents", lambda draws, generator, count, part=0: torch.zeros(count, 100))
        torch.manual_seed(0)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        fit = trainer(tmp_path, max_steps=1)
        fit.fit(network, datamodule=data(batch_size=size))
        norms.append(float(fit.callback_metrics["gradients/discriminator"]))
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_the_mean_generator_follows_and_is_what_samples(tmp_path: Path) -> None:
    network = gan(ema_decay=0.5)
    trainer(tmp_path).fit(network, datamodule=data())
    assert network.ema_generator is not None
    mean, now = weights(network.ema_generator), weights(network.generator)
    assert 0 < float((mean - now).norm()) < float(now.norm())
    latents = network.generator.draw_latents(2, torch.Generator().manual_seed(3))
    torch.testing.assert_close(network.sample(2, seed=3), network.ema_generator.eval()(latents))
    names = {name for group in trainer(tmp_path).strategy.optimizers for name in group}
    assert not names


def test_a_schedule_counts_the_updates_of_its_player(tmp_path: Path) -> None:
    def halved(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    network = gan(discriminator_steps=2, generator_lr_scheduler=halved, discriminator_lr_scheduler=halved)
    fit = trainer(tmp_path, max_steps=4)
    fit.fit(network, datamodule=data())
    rates = [optimizer.param_groups[0]["lr"] for optimizer in fit.optimizers]
    assert rates == pytest.approx([2e-4 / 2**4, 2e-4 / 2**2])


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(tmp_path: Path) -> None:
    network = gan()
    network.on_fit_start = lambda: network.discriminator.requires_grad_(True) and None  # type: ignore[method-assign]
    torch.nn.init.constant_(next(network.discriminator.parameters()), torch.nan)
    before = weights(network.generator)
    with pytest.raises(NonFiniteLossError, match="discriminator's loss is nan at step 0"):
        trainer(tmp_path).fit(network, datamodule=data())
    assert torch.equal(weights(network.generator), before)


def test_labels_of_the_first_of_each_class() -> None:
    labels = torch.tensor([0, 1, 1, 0, 2, 2, 1, 0])
    kept = first_of_each_class(labels, 2, seed=0)
    assert torch.bincount(labels[kept]).tolist() == [2, 2, 2]
    assert torch.equal(kept, first_of_each_class(labels, 2, seed=0))
    with pytest.raises(ValueError, match="Class 2 has 2 images: lower model.labels_per_class"):
        first_of_each_class(labels, 3, seed=0)


def test_only_images_that_keep_their_label_are_supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"variant": "mnist", "generator_width": 16, "discriminator_width": 32}
    network = gan(networks="improved", network_options=options, labels_per_class=2, feature_matching="absolute")
    fit = trainer(tmp_path, limit_train_batches=4, limit_val_batches=1)
    seen = []
    drawn = Draws.labeled_images
    monkeypatch.setattr(Draws, "labeled_images", lambda *words: (seen.append(words[0].step), drawn(*words))[1])
    digits = data()
    fit.fit(network, datamodule=digits)
    assert network.semi_supervised is not None
    assert torch.bincount(network.semi_supervised.labels).tolist() == [2] * 10
    assert network.semi_supervised.images.amin() >= -1
    assert seen == [0, 1, 2, 3]  # a batch of them in each step
    assert {"train/acc1", "val/acc1"} <= set(fit.callback_metrics)
    with pytest.raises(ValueError, match="lower model.labels_per_class"):
        trainer(tmp_path).fit(gan(networks="improved", network_options=options, labels_per_class=900), data())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discriminator_steps": 0}, "discriminator_steps must be at least 1"),
        ({"label_smoothing": 0.5}, "below 0.5"),
        ({"label_smoothing": 0.1, "objective": "hinge"}, "no meaning for the objective hinge"),
        ({"ema_decay": 1.0}, "between 0 and 1"),
        ({"weight_clip": 0.0}, "weight_clip must be above 0, not 0.0: null is for none"),
        ({"gradient_penalty": -1.0}, "gradient_penalty must be at least 0, not -1.0"),
        ({"instance_noise_steps": 0}, "instance_noise_steps must be at least 1, not 0"),
        ({"supervised_weight": -1.0}, "supervised_weight must be at least 0"),
        ({"labels_per_class": 0}, "labels_per_class must be at least 1"),
        ({"labels_per_class": 10}, "discriminator of mlp has no classes"),
        ({"network_options": {"depth": 3}}, "networks mlp have no option depth: theirs are"),
        ({"networks": "improved", "network_options": None, "conditional": True}, "have no conditional form"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gan(**options)


def test_images_of_another_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set data.normalization to symmetric"):
        trainer(tmp_path).fit(gan(), datamodule=data(normalization="standard"))


def test_a_run_from_the_command_line_is_recorded(run_main: Callable[..., None], tmp_path: Path) -> None:
    words = ["--config", "configs/data/digits.yaml", "--config", "configs/gan/mlp.yaml"]
    small = ["--data.val_size", "100", "--data.batch_size", "64", "--trainer.max_epochs", "1"]
    small += ["--trainer.accelerator", "cpu", "--trainer.limit_train_batches", "3", "--run_dir", "run"]
    run_main("fit", "--config", "configs/base.yaml", *words, *small)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["steps"] == 3
    assert summary["model"]["architecture"] == "GAN (mlp)"
    assert summary["model"]["discriminator_parameters"]["total"] > 0
    assert "val/accuracy_fake" in summary["metrics"]
    assert (tmp_path / "run" / "pictures" / "samples.png").exists()
    assert [path.name[:5] for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt")] == ["last-"]
    evaluated = ["--config", "run/config.yaml", "--ckpt_path", "run", "--run_dir"]  # by the latest checkpoint
    run_main("test", *evaluated, "test")
    assert 0 <= json.loads((tmp_path / "test" / "summary.json").read_text())["metrics"]["test/accuracy_real"] <= 1
    with pytest.raises(SystemExit):
        run_main("predict", *evaluated, "predict")
    with pytest.raises(SystemExit):
        run_main("fit", "--resume", "run", "--trainer.max_epochs", "2", "--model.networks", "dcgan")
    run_main("fit", "--resume", "run", "--trainer.max_epochs", "2")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 6


def test_stabilizers_are_options_of_the_command_line_and_of_checkpoints(
    run_main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["configs/base.yaml", "configs/data/digits.yaml", "configs/gan/mlp.yaml"]
    words = [word for file in files for word in ("--config", file)] + ["--trainer.accelerator", "cpu"]
    words += ["--data.val_size", "100", "--data.batch_size", "64", "--trainer.max_epochs", "1", "--run_dir", "run"]
    words += ["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2"]
    words += ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger"]
    run_main("fit", *words, "--model.stabilizers.r1", "10", "--model.stabilizers.gradient_clip_val", "2")
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.ckpt")
    arguments = torch.load(checkpoint, weights_only=True)["hyper_parameters"]
    assert arguments["stabilizers"] == asdict(Stabilizers(r1=10, gradient_clip_val=2))
    restored = GAN(**{name: value for name, value in arguments.items() if not name.startswith("_")})
    assert restored.players[1].stabilizers == Stabilizers(r1=10, gradient_clip_val=2)
    with pytest.raises(SystemExit):
        run_main("fit", *words, "--model.stabilizers.r1", "-1")
    assert "r1 must be at least 0, not -1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_main("fit", "--model.help", "GAN")
    assert "stabilizers.gradient_penalty" in capsys.readouterr().out


def test_gradient_penalties_work_under_bfloat16(tmp_path: Path) -> None:
    network = gan(objective="wasserstein", gradient_penalty=10.0)
    trainer(tmp_path, max_steps=2, precision="bf16-mixed").fit(network, datamodule=data())
    assert weights(network.discriminator).isfinite().all()


@pytest.mark.parametrize("options", [{}, {"accumulate_batches": 2}, {"discriminator_steps": 2}])
def test_a_step_that_is_not_due_logs_nothing(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[tuple[int, str]] = []
    monkeypatch.setattr(GAN, "log", lambda self, name, *_, **__: logged.append((self.batches, name)))
    updates = options.get("accumulate_batches", 1)
    seldom = trainer(tmp_path, log_every_n_steps=3, max_steps=8 // updates)
    seldom.fit(gan(**options), datamodule=data())
    assert {batch for batch, _ in logged} == {3, 6, 8}
    assert {"train/loss_discriminator", "train/loss_generator", "gradients/generator"} <= {name for _, name in logged}


def test_a_run_that_logs_seldom_ends_with_the_numbers_of_one_that_logs_each_step(tmp_path: Path) -> None:
    metrics = []
    for every in (1, 100):
        torch.manual_seed(0)
        fitted = trainer(tmp_path, log_every_n_steps=every, max_steps=5)
        fitted.fit(gan(discriminator_steps=2), datamodule=data())
        metrics.append({name: float(value) for name, value in fitted.callback_metrics.items()})
    assert metrics[0] == metrics[1]
    assert metrics[0]
