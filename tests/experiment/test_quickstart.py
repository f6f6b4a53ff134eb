"""The quickstart trains what its recipes say, cheapest first, and knows how far a network has come."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from experiment import quickstart
from experiment.config_files import RECIPES
from experiment.quickstart import STEPS_OF_EPOCH, TRAININGS, Training
from records.metrics import write_metrics


def test_the_cheapest_network_comes_first_and_all_six_are_there() -> None:
    assert {f"digits_{one.name}" for one in TRAININGS} | {"digits_dcgan"} == {
        path.stem for path in RECIPES.glob("digits_*.yaml")
    }
    assert [one.seconds for one in TRAININGS] == sorted(one.seconds for one in TRAININGS)


@pytest.mark.parametrize("training", TRAININGS, ids=lambda one: one.name)
def test_the_bar_knows_the_epochs_of_the_recipe(training: Training) -> None:
    recipe = yaml.safe_load((RECIPES / f"digits_{training.name}.yaml").read_text())
    assert recipe.get("options", {}).get("trainer.max_epochs", 5) == training.epochs


def test_progress_is_the_share_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "FOLDER", tmp_path)
    training = Training("resnet20", 5, 34)
    assert training.progress == 0
    training.run.mkdir()
    rows = [{"step": step} for step in (10, STEPS_OF_EPOCH * 5 // 2, 20)]
    write_metrics(training.run / "metrics.csv", ["step"], rows)
    assert training.progress == pytest.approx(0.5, abs=0.01)


def test_the_picture_is_a_digit_of_the_test_images(tmp_path: Path) -> None:
    quickstart._save_picture(tmp_path / "digit.png")
    with Image.open(tmp_path / "digit.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
