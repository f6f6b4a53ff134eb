"""Sixty and more mistakes as people make them: each is answered with one line with a remedy, and leaves nothing."""

import os
import re
import sys
from pathlib import Path

import pytest

from main import main
from tests.faults.small_runs import exhaustive

ROOT = Path(__file__).parents[2]
CONFIGS = {name: f"{ROOT}/configs/{name}.yaml" for name in ("base", "data/digits", "model/resnet20", "quickstart")}
FIT = (
    *("fit", "--data=Digits", "--data.batch_size=8", "--model=ResNet", "--model.depth=8", "--model.variant=cifar"),
    *("--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"),
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.enable_checkpointing=false"),
)
GAN = (*FIT[:3], "--data.normalization=symmetric", "--model=GAN", *FIT[6:])
YAML = "data: {class_path: Digits}\nmodel: {class_path: ResNet, init_args: {depth: 8, variant: cifar}}\n"

MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    # of torch.optim
    "a rate below zero": ((*FIT, "--model.optimizer=SGD", "--model.optimizer.lr=-0.1"), "change .*optimizer.*lr"),
    "momentum": ((*FIT, "--model.optimizer=SGD", "--model.optimizer.momentum=-1"), "change .*momentum"),
    "Adam's betas": ((*FIT, "--model.optimizer=Adam", "--model.optimizer.betas=[2,0.9]"), "change .*betas"),
    "Adam's epsilon": ((*FIT, "--model.optimizer=Adam", "--model.optimizer.eps=-1"), "change .*eps"),
    "decay": ((*FIT, "--model.optimizer=SGD", "--model.optimizer.weight_decay=-1"), "change .*weight_decay"),
    "Nesterov alone": (
        (*FIT, "--model.optimizer=SGD", "--model.optimizer.nesterov=true", "--model.optimizer.momentum=0"),
        "change .*momentum",
    ),
    "OneCycleLR without its length": (
        (*FIT, "--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"),
        "OneCycleLR refuses .*total_steps.*: change model.lr_scheduler",
    ),
    "OneCycleLR that is too short": (
        (
            *(*FIT, "--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"),
            *("--model.lr_scheduler.total_steps=1", "--model.lr_scheduler_interval=step"),
        ),
        "ends after 1 updates, and the run has 2: set total_steps to 2",
    ),
    "a schedule without its steps": ((*FIT, "--model.lr_scheduler=StepLR"), "step_size must be given to StepLR"),
    "two schedules of one name": (
        (*FIT, "--model.lr_scheduler=ReduceLROnPlateau"),
        "several of ReduceLROnPlateau: give .*lightning.pytorch.cli.ReduceLROnPlateau",
    ),
    # packages that are not there
    "TensorBoard": (
        (*FIT, "--trainer.logger=TensorBoardLogger", "--trainer.logger.save_dir=x"),
        "pip install tensorboard,",
    ),
    "MLflow": ((*FIT, "--trainer.logger=MLFlowLogger"), "mlflow is not installed: pip install mlflow"),
    "rich": ((*FIT, "--trainer.callbacks+=RichProgressBar"), "rich is not installed: pip install rich"),
    # what is monitored
    "EarlyStopping": (
        (*FIT, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/acc"),
        "EarlyStopping monitors val/acc, which nothing logs: did you mean val/acc5?.*val/acc1",
    ),
    "ModelCheckpoint": (
        (*FIT[:-1], "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=loss"),
        "ModelCheckpoint monitors loss, which nothing logs: .*val/loss",
    ),
    "a plateau of nothing": (
        (
            *(*FIT, "--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau"),
            "--model.lr_scheduler.monitor=val/accuracy",
        ),
        "ReduceLROnPlateau monitors val/accuracy, which nothing logs",
    ),
    "what a GAN does not log": (
        (*GAN, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/acc1"),
        "EarlyStopping monitors val/acc1, which nothing logs: .*val/accuracy_real",
    ),
    "one rate for several": (
        (
            *FIT,
            "--model.bias_lr_scale=2",
            "--trainer.callbacks+=StochasticWeightAveraging",
            "--trainer.callbacks.swa_lrs=0.1",
        ),
        "StochasticWeightAveraging gives all parameters rates of its own.*: leave it out",
    ),
    "a part that the network has not": (
        (*FIT, "--model.freeze=neck"),
        "model.freeze: there is no part neck: choose backbone",
    ),
    "a callback for networks of another kind": (
        (*GAN, "--trainer.callbacks+=BackboneFinetuning"),
        "BackboneFinetuning needs backbone, which GAN has not: leave BackboneFinetuning out",
    ),
    # devices
    "all devices of a processor": ((*FIT, "--trainer.devices=-1"), "give the number of processes"),
    "devices by number": ((*FIT, "--trainer.devices=0,1"), "give the number of processes"),
    "devices as a list": ((*FIT, "--trainer.devices=[0,1]"), "give the number of processes"),
    "no device": ((*FIT, "--trainer.devices=0"), "give the number of processes"),
    "devices in words": ((*FIT, "--trainer.devices=two"), "must be auto, a number or a list of numbers, not two"),
    "a GPU": ((*FIT, "--trainer.accelerator=gpu"), "finds no GPU on this machine: use --trainer.accelerator cpu"),
    "a GPU by another name": ((*FIT, "--trainer.accelerator=cuda"), "use --trainer.accelerator cpu"),
    "a Mac's GPU": ((*FIT, "--trainer.accelerator=mps"), "use auto, cpu or gpu"),
    "an accelerator that is none": ((*FIT, "--trainer.accelerator=gpus"), "gpus is not known: use auto, cpu, gpu"),
    "a strategy that is none": ((*FIT, "--trainer.strategy=dpp"), "dpp is not known: use auto, or ddp"),
    "a precision that is none": ((*FIT, "--trainer.precision=bf17"), "did you mean bf16?"),
    # lengths
    "a share above 1": ((*FIT, "--trainer.limit_train_batches=2.5"), "a share from 0.0 to 1.0, or a whole number"),
    "a share below 0": ((*FIT, "--trainer.limit_val_batches=-1"), "a share from 0.0 to 1.0, or a whole number"),
    "no batches": ((*FIT, "--trainer.limit_train_batches=0"), "fit has nothing to do: leave it out"),
    "no epochs": ((*FIT, "--trainer.max_epochs=0"), "trains nothing: .* use the command validate"),
    "validation each zeroth epoch": ((*FIT, "--trainer.check_val_every_n_epoch=0"), "must be at least 1, not 0"),
    "validation after no batch": (
        (*FIT, "--trainer.val_check_interval=0"),
        "val_check_interval must be above 0, not",
    ),
    "no batch for an update": ((*FIT, "--trainer.accumulate_grad_batches=0"), "must be at least 1, not 0"),
    "fewer than all epochs": ((*FIT, "--trainer.max_epochs=-2"), "trainer.max_epochs must be at least -1, not -2"),
    "logging backward": ((*FIT, "--trainer.log_every_n_steps=-1"), "log_every_n_steps must be at least 0, not -1"),
    "a negative length of gradients": ((*FIT, "--trainer.gradient_clip_val=-1"), "must be at least 0, not -1"),
    "a number without end": ((*FIT, f"--trainer.max_steps={'9' * 400}"), "max_steps has a number of 400 digits"),
    "more images than there are": ((*FIT, "--data.batch_size=2000"), "at most 1200"),
    # seeds and bars
    "a seed that is true": (
        (*FIT, "--seed_everything=true"),
        "seed_everything must be an integer, such as 42, not true",
    ),
    "a seed below 0": ((*FIT, "--seed_everything=-1"), "seed_everything must be from 0 to"),
    "two bars": (
        (*FIT[:8], *FIT[9:], "--trainer.callbacks+=TQDMProgressBar", "--trainer.callbacks+=TQDMProgressBar"),
        "more than one progress bar: leave all but one out",
    ),
    "a bar that is switched off": ((*FIT, "--trainer.callbacks+=TQDMProgressBar"), "leave one of the two out"),
    # runs and files
    "a run that is not there": (("fit", "--resume", "runs/typo"), "There is no run runs/typo"),
    "a run that is nearly there": (("fit", "--resume", "there/run-2"), "did you mean there/run-1?"),
    "a run that is a file": (("fit", "--resume", "file"), "There is no run file"),
    "a run without a config": (("fit", "--resume=there/run-1"), "is no directory of a run, it has no config.yaml"),
    "a file for a directory": ((*FIT, "--run_dir=file"), "names the directory of a run, and file is a file"),
    "resume for a test": (("test", *FIT[1:], "--resume=there"), "name the run with --ckpt_path"),
    "a test of nothing": (("test", *FIT[1:]), "name a run or a checkpoint with --ckpt_path"),
    "a checkpoint that is not there": (("test", *FIT[1:], "--ckpt_path=x.ckpt"), "names a run's directory or a .ckpt"),
    "a checkpoint of another kind": (("test", *FIT[1:], "--ckpt_path=file"), "is no checkpoint that can be trusted"),
    "weights that are not there": ((*FIT, "--model.weights=x.pth"), "There are no weights x.pth: give a file"),
    "a name that leads out": (
        (*FIT, "--trainer.callbacks+=LatestCheckpoint", "--trainer.callbacks.filename=../../x"),
        "leads out of the run: give a name without folders",
    ),
    "steps below 0": (
        (*FIT, "--trainer.callbacks+=LatestCheckpoint", "--trainer.callbacks.every_n_steps=-1"),
        "every_n_steps is -1: give a number of at least 1",
    ),
    # options under the names of other programs
    "lr": ((*FIT, "--lr=0.1"), "did you mean model.optimizer.init_args.lr?"),
    "batch_size": ((*FIT, "--batch_size=8"), "did you mean data.batch_size?"),
    "epochs": ((*FIT, "--epochs=8"), "did you mean trainer.max_epochs?"),
    "gpus": ((*FIT, "--gpus=1"), "did you mean trainer.devices?"),
    "a key of nothing": ((*FIT, "--model.dept=8"), "did you mean depth?"),
    # files that were forgotten
    "no data": (
        ("fit", f"--config={CONFIGS['base']}", f"--config={CONFIGS['model/resnet20']}"),
        "configs/data/digits.yaml",
    ),
    "no model": (
        ("fit", f"--config={CONFIGS['base']}", f"--config={CONFIGS['data/digits']}"),
        "--model, or in a config",
    ),
    "options of no class": (("fit", f"--config={CONFIGS['quickstart']}"), "configs/model/resnet20.yaml"),
    "a config that is not there": (("fit", "--config=configs/model/resnet21.yaml"), "does not exist"),
    # what stands in a file
    "Latin-1": (("fit", "--config=latin1.yaml"), "^latin1.yaml: line 1 is not in UTF-8, perhaps in Latin-1: save"),
    "UTF-16": (("fit", "--config=utf16.yaml"), "^utf16.yaml: line 1 is not in UTF-8, perhaps in UTF-16: save"),
    "a tab": (("fit", "--config=tab.yaml"), "^tab.yaml: line 2 is indented with a tab.*: use spaces"),
    "a key twice": (("fit", "--config=twice.yaml"), "^twice.yaml: line 3 has trainer a second time, after line 1"),
    "a key twice within": (("fit", "--config=within.yaml"), "line 3 has max_epochs a second time, after line 2"),
    "a pipe": (("fit", "--config=pipe"), "^config: pipe is not a regular file: name another"),
    "an alias of itself": (("fit", "--config=again.yaml"), "again.yaml is not valid YAML .*write out what it means"),
    "a number of 400 digits": (("fit", "--config=digits.yaml"), "max_epochs is a number of 400 digits"),
    "the second of two files": (
        ("fit", "--config=good.yaml", "--config=ten.yaml"),
        "^ten.yaml: trainer.max_epochs must be an integer or null, not ten",
    ),
    "the first of two files": (
        ("fit", "--config=ten.yaml", "--config=good.yaml"),
        "^ten.yaml: trainer.max_epochs must be an integer or null, not ten",
    ),
    "a file and not the command line": (
        ("fit", "--trainer.max_epochs=3", "--config=ten.yaml"),
        "^ten.yaml: trainer.max_epochs must be an integer or null, not ten",
    ),
    "the command line and not a file": (
        ("fit", "--config=good.yaml", "--trainer.max_epochs=ten"),
        "^trainer.max_epochs must be an integer or null, not ten",
    ),
    "a schedule in one of two files": (
        ("fit", "--config=good.yaml", "--config=schedule.yaml"),
        "^schedule.yaml: model.lr_scheduler.step_size must be given to StepLR",
    ),
}
FILES: dict[str, bytes] = {
    "file": b"x",
    "latin1.yaml": "# für\n".encode("latin-1") + YAML.encode(),
    "utf16.yaml": YAML.encode("utf-16"),
    "tab.yaml": b"trainer:\n\tmax_epochs: 3\n",
    "twice.yaml": b"trainer: {max_epochs: 3}\nseed_everything: 1\ntrainer: {max_steps: 3}\n",
    "within.yaml": b"trainer:\n  max_epochs: 3\n  max_epochs: 4\n",
    "again.yaml": b"trainer: &a {callbacks: *a}\n",
    "digits.yaml": b"trainer: {max_epochs: " + b"9" * 400 + b"}\n",
    "good.yaml": YAML.encode() + b"trainer: {max_epochs: 10}\n",
    "ten.yaml": b"trainer: {max_epochs: ten}\n",
    "schedule.yaml": b"model: {init_args: {lr_scheduler: {class_path: torch.optim.lr_scheduler.StepLR}}}\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "there" / "run-1").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    return folder


def answer(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command line refuses words."""
    with pytest.raises(SystemExit) as ending:
        main(list(words))
    assert ending.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


SAMPLE = (
    *(
        "a rate below zero",
        "OneCycleLR that is too short",
        "TensorBoard",
        "EarlyStopping",
        "what a GAN does not log",
        "one rate for several",
        "devices by number",
        "a GPU",
    ),
    *("a share above 1", "a seed that is true", "a run that is nearly there", "a name that leads out", "lr", "no data"),
    *("options of no class", "a tab", "a key twice", "a pipe", "the first of two files"),
)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mistake", [*SAMPLE, *(exhaustive(name) for name in MISTAKES if name not in SAMPLE)])
def test_a_mistake_is_one_line_with_a_remedy(
    mistake: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["main.py"])
    words, sentence = MISTAKES[mistake]
    before = set(folder.rglob("*"))
    line = answer(words, capsys)
    assert re.search(sentence, line), line
    assert set(folder.rglob("*")) == before


def test_there_are_sixty() -> None:
    assert len(MISTAKES) >= 60
