import errno
import json
import re
from pathlib import Path
from typing import Literal

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI, LRSchedulerCallable, OptimizerCallable

from experiment.explanations import explain
from experiment.trusted_imports import VARIABLE, trust_known_modules
from experiment.usage_errors import ExperimentArgumentParser, one_line, one_line_for_usage_errors

pytestmark = pytest.mark.filterwarnings("ignore:.*args parameter is intended:UserWarning")


class Network(LightningModule):
    pass


class Staircase(Network):
    def __init__(
        self,
        depth: int = 20,
        variant: Literal["paper", "torchvision"] = "paper",
        dropout: float | None = None,
        optimizer: OptimizerCallable = torch.optim.SGD,
        lr_scheduler: LRSchedulerCallable | None = None,
    ):
        super().__init__()
        if depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2, such as 20, 32 or 56, not {depth}.")
        if dropout == 1:
            raise KeyError("a bug")


class Ladder(Network):
    def __init__(self, num_rungs: int = 10):
        super().__init__()


class Shapes(LightningDataModule):
    def __init__(self, batch_size: int = 128, augment: bool = True):
        super().__init__()


class Scribbles(LightningDataModule):
    def __init__(self, root: str):
        super().__init__()


class Heartbeat(Callback):
    def __init__(self, every_n_steps: int = 50):
        super().__init__()


@pytest.fixture
def complaint(tmp_path, monkeypatch, capsys):
    """What a small LightningCLI prints on stderr before it exits with code 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, __name__)
    trust_known_modules()

    def run(*words, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(SystemExit) as exit_info, one_line_for_usage_errors():
            LightningCLI(
                Network,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                save_config_callback=None,
                parser_class=ExperimentArgumentParser,
                args=list(words),
            )
        assert exit_info.value.code == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("Seed set", "INFO"))]
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return run


COMPLETE = ("--model", "Staircase", "--data", "Shapes")

ON_THE_COMMAND_LINE = {
    ("--trainer.max_epoch=3",): "trainer.max_epoch is not an option; did you mean trainer.max_epochs?",
    ("--trainr.max_epochs=3",): "trainr.max_epochs is not an option; did you mean trainer.max_epochs?",
    ("--max_epochs=3",): "max_epochs is not an option; did you mean trainer.max_epochs?",
    ("--trainer.max_epochs=ten",): "trainer.max_epochs must be an integer or null, not ten",
    ("--trainer.max_epochs=0.5",): "trainer.max_epochs must be an integer or null, not 0.5",
    ("--trainer.max_epochs",): "trainer.max_epochs needs a value",
    ("--trainer.callbacks+=Heartbeet",): "trainer.callbacks: Heartbeet is not a known class; did you mean Heartbeat?",
    ("--trainer.callbacks+=Zigzag",): (
        "trainer.callbacks: Zigzag is not a known class: give its full path, such as my_package.my_module.Zigzag"
    ),
    ("--trainer.callbacks=3",): "trainer.callbacks must be a list of Callback, a Callback or null, not 3",
    ("--trainer.callbacks+=Heartbeat", "--trainer.callbacks.every=3"): (
        "trainer.callbacks.every is not an option of Heartbeat; did you mean every_n_steps?"
    ),
    ("--trainer.logger=CSVLoger",): "trainer.logger: CSVLoger is not a known class; did you mean CSVLogger?",
    ("--model", "Stairs"): "model: Stairs is not a known class; did you mean Staircase?",
    ("--model", "torch.optim.SGD"): "model must be a Network, which torch.optim.SGD is not",
    ("--model", "torch.optim.Net"): "model: torch.optim.Net is not a known class",
    ("--model", "nowhere.Net"): (
        "model: nowhere.Net is in no module whose classes a config may name. If you trust it, set the environment "
        "variable TRUSTED_IMPORTS=nowhere"
    ),
    ("--model", "nowhere.Stairs"): (
        "model: nowhere.Stairs is in no module whose classes a config may name; did you mean Staircase? If you trust "
        "it, set the environment variable TRUSTED_IMPORTS=nowhere"
    ),
    ("--trainer.callbacks+=LambdaCallback", "--trainer.callbacks.on_fit_start=os.getcwd"): (
        "trainer.callbacks: lightning.pytorch.callbacks.lambda_function.LambdaCallback is in no module whose classes a "
        "config may name. If you trust it, set the environment variable "
        "TRUSTED_IMPORTS=lightning.pytorch.callbacks.lambda_function"
    ),
    ("--model.help", "Stairs"): "model: Stairs is not a known class; did you mean Staircase?",
    ("--model.variant",): "model needs a value",
    ("--model.dept=3",): "model.dept is not an option of Staircase; did you mean depth?",
    ("--model.init_args.dept=3",): "model.dept is not an option of Staircase; did you mean depth?",
    ("--model.depth=twenty",): "model.depth must be an integer, not twenty",
    ("--model.variant=papr",): "model.variant must be paper or torchvision, not papr; did you mean paper?",
    ("--model.dropout=much",): "model.dropout must be a number or null, not much",
    ("--model.optimizer=SDG",): "model.optimizer: SDG is not a known class; did you mean SGD?",
    ("--model.optimizer=torch.optim.SDG",): "model.optimizer: torch.optim.SDG is not a known class; did you mean SGD?",
    ("--model.optimizer=SGD", "--model.optimizer.momentun=0.9"): (
        "model.optimizer.momentun is not an option of SGD; did you mean momentum?"
    ),
    ("--model.lr_scheduler=CosineAnealingLR",): (
        "model.lr_scheduler: CosineAnealingLR is not a known class; did you mean CosineAnnealingLR?"
    ),
    ("--model.lr_scheduler=CosineAnnealingLR", "--model.lr_scheduler.Tmax=4"): (
        "model.lr_scheduler.Tmax is not an option of CosineAnnealingLR; did you mean T_max?"
    ),
    ("--model.depth=21",): "depth must be 6n + 2, such as 20, 32 or 56, not 21.",
    ("--data", "Shape"): "data: Shape is not a known class; did you mean Shapes?",
    ("--data.augment=perhaps",): "data.augment must be true or false, not perhaps",
    ("--data", "Scribbles"): "data.root must be given to Scribbles",
    ("--seed_everything=dice",): "seed_everything must be true, false or an integer, not dice",
    ("twenty",): "twenty is not expected: an option is --name value",
    ("--trainer.strategy.timeout=3",): (
        "trainer.strategy.timeout is an option of no class yet: name the class before its options"
    ),
}


@pytest.mark.parametrize("words", ON_THE_COMMAND_LINE, ids=" ".join)
def test_mistake_on_the_command_line(complaint, words):
    assert complaint("fit", *COMPLETE, *words) == ON_THE_COMMAND_LINE[words]


WITHOUT_THE_REST = {
    (): "no command is given: fit, validate, test or predict",
    ("fti",): "fti is not a command; did you mean fit?",
    ("fit",): "data and model must be given: with --data and --model, or in a config",
    ("fit", "--data", "Shapes"): "model must be given: with --model, or in a config",
    ("fit", "--modle", "Staircase"): "modle is not an option; did you mean model?",
}


@pytest.mark.parametrize("words", WITHOUT_THE_REST, ids=" ".join)
def test_incomplete_command(complaint, words):
    assert complaint(*words) == WITHOUT_THE_REST[words]


IN_A_CONFIG = {
    "trainer: {max_epoch: 3}": "trainer.max_epoch is not an option; did you mean trainer.max_epochs?",
    "trainr: {max_epochs: 3}": "trainr.max_epochs is not an option; did you mean trainer.max_epochs?",
    "trainer: {max_epochs: ten}": "trainer.max_epochs must be an integer or null, not ten",
    "trainer: {callbacks: [{class_path: Heartbeet}]}": (
        "trainer.callbacks: Heartbeet is not a known class; did you mean Heartbeat?"
    ),
    "trainer: {callbacks: [{class_path: Heartbeat, init_args: {every_n_step: 3}}]}": (
        "trainer.callbacks.every_n_step is not an option of Heartbeat; did you mean every_n_steps?"
    ),
    "model: {class_path: Stairs}": "model: Stairs is not a known class; did you mean Staircase?",
    "model: {class_path: Staircase, init_args: {dept: 20}}": (
        "model.dept is not an option of Staircase; did you mean depth?"
    ),
    "model: {class_path: Staircase, init_args: {depth: twenty}}": "model.depth must be an integer, not twenty",
    "model: {class_path: Staircase, init_args: {variant: papr}}": (
        "model.variant must be paper or torchvision, not papr; did you mean paper?"
    ),
    "model: {class_path: Staircase, init_args: {optimizer: {class_path: torch.optim.SDG}}}": (
        "model.optimizer: torch.optim.SDG is not a known class; did you mean SGD?"
    ),
    "model: {class_path: Staircase, init_args: {optimizer: {class_path: SGD, init_args: {momentun: 0.9}}}}": (
        "model.optimizer.momentun is not an option of SGD; did you mean momentum?"
    ),
    "trainer:\n  max_epochs: 3\n max_steps: 4": "line 3, column 2: did not find expected key",
    "trainer: {max_epochs: 3\n": "line 2, column 1: did not find expected ',' or '}'",
    "- trainer\n- model": "a config holds options, such as `trainer:`",
    "": "a config holds options, such as `trainer:`",
}


@pytest.mark.parametrize("text", IN_A_CONFIG)
def test_mistake_in_a_config_names_the_file(complaint, text):
    words = ("fit", "--config", "base.yaml", "--config=wrong.yaml")
    base = "model: {class_path: Staircase}\ndata: {class_path: Shapes}\ntrainer: {max_epochs: 1}"
    assert complaint(*words, base=base, wrong=text) == f"wrong.yaml: {IN_A_CONFIG[text]}"


def test_config_that_does_not_exist(complaint):
    assert complaint("fit", "--config", "modle.yaml", model="") == (
        "modle.yaml does not exist; did you mean model.yaml?"
    )


def test_config_that_is_no_text(complaint, tmp_path):
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    assert complaint("fit", "--config", "image.yaml") == "image.yaml: a config holds options, such as `trainer:`"


def test_arguments_beside_class_path(complaint):
    config = "model: {class_path: Staircase, depth: 20}"
    assert complaint("fit", "--data=Shapes", "--config=model.yaml", model=config) == (
        "model.class_path stands beside other keys: put those under init_args"
    )


def test_bug_keeps_its_traceback(complaint):
    with pytest.raises(ValueError, match="a bug"):
        complaint("fit", *COMPLETE, "--model.dropout=1")


def test_error_of_another_library_keeps_its_traceback():
    with pytest.raises(ValueError, match="Expecting value"), one_line_for_usage_errors():
        json.loads("[")


def test_error_of_the_project_is_one_line(capsys):
    with pytest.raises(SystemExit), one_line_for_usage_errors():
        raise FileNotFoundError("The folder data is empty: give data.root.")
    assert capsys.readouterr().err == "error: The folder data is empty: give data.root.\n"


def test_file_that_may_not_be_read_is_one_line(capsys, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SystemExit, match="2"), one_line_for_usage_errors():
        (tmp_path / "data_batch_1").read_bytes()
    assert re.fullmatch(r"error: .*data_batch_1 may not be read or written: change .*\n", capsys.readouterr().err)


def test_correct_commands_are_parsed(capsys):
    parser = ExperimentArgumentParser()
    parser.add_subclass_arguments(Network, "model")
    config = parser.parse_args(["--model=Staircase", "--model.optimizer=Adam", "--model.optimizer.lr=0.1"])
    assert config.model.init_args.optimizer.init_args.lr == 0.1


def test_unknown_message_gives_its_innermost_line():
    message = (
        "Parser key \"x\":\n  Does not validate\n  Errors:\n    - Expected a <class 'int'>\n    - The disk is full"
    )
    assert explain(message, {}) == "x: The disk is full"
    assert explain("Something new", {}) == "Something new"


def test_one_line_of_an_exception():
    assert one_line(ValueError("First.\nSecond.")) == "First."
    assert one_line(ValueError()) == "ValueError"
