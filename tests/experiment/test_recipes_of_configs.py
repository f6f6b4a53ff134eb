"""A recipe stands for the files and options that it lists."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from experiment.config_files import RECIPES, with_recipes_written_out

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_lists_files_that_are_there_and_names_its_own_command(name: str) -> None:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    assert recipe["configs"][0] == "configs/base.yaml"
    assert all((ROOT / config).is_file() for config in recipe["configs"])
    assert f"python main.py fit --config {name}" in text


@pytest.mark.slow(4)
@pytest.mark.parametrize("name", ["digits_nin", "pictures_finetune"])
def test_a_recipe_is_what_its_files_are(
    name: str, run_main: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    files = [word for config in recipe["configs"] for word in ("--config", str(ROOT / config))]
    options = [f"--{option}={value}" for option, value in recipe.get("options", {}).items()]
    printed = []
    for words in (["--config", name], [*files, *options]):
        with pytest.raises(SystemExit):
            run_main("fit", *words, "--print_config")
        printed.append(capsys.readouterr().out)
    assert "class_path" in printed[0]
    assert printed[0] == printed[1]


def test_options_behind_a_recipe_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("model: {}\n")
    (tmp_path / "mine.yaml").write_text("configs: [own.yaml, configs/base.yaml]\noptions: {trainer.max_epochs: 3}\n")
    words = ["fit", "--config=mine.yaml", "--trainer.max_epochs", "2", "-c", "own.yaml"]
    assert with_recipes_written_out(words) == [
        *("fit", "--config", "own.yaml", "--config", str(ROOT / "configs/base.yaml"), "--trainer.max_epochs=3"),
        *("--trainer.max_epochs", "2", "-c", "own.yaml"),
    ]


@pytest.mark.parametrize("last", ["--config", "-c", "--config="])
def test_a_word_without_its_value_is_left_to_the_parser(last: str) -> None:
    assert with_recipes_written_out(["fit", last]) == ["fit", last]


def test_an_unknown_recipe_is_answered_with_one_that_is_there() -> None:
    with pytest.raises(ValueError, match=r"no config digits_resnet2, and no .* did you mean digits_resnet20\?$"):
        with_recipes_written_out(["fit", "--config", "digits_resnet2"])


@pytest.mark.parametrize("text", ["configs: base.yaml\n", "configs: [a.yaml]\nseed_everything: 1\n"])
def test_a_recipe_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match="a recipe holds `configs`, a list of files, and `options`"):
        with_recipes_written_out(["fit", "--config", str(tmp_path / "mine.yaml")])
