"""Each command of the README's table works on each kind of run, wherever it lies and however it is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml

from callbacks import LatestCheckpoint
from experiment.resume import OF_ONE_START
from records.checkpoints import CheckpointIndex, best_checkpoints, sha256_of, write_digest
from tests.faults import small_runs
from tests.faults.small_runs import assert_identical, assert_same_run, exhaustive, final_state

pytestmark = [pytest.mark.faults, pytest.mark.slow(4), pytest.mark.xdist_group("commands on runs")]


class State(NamedTuple):
    """How a run came to where it stands: the commands on RUN, and the option with which it goes on to its end."""

    commands: tuple[tuple[str, ...], ...]
    environment: dict[str, str]
    on: str
    is_finished: bool


START, RESUMED, AUTO = ("--run_dir", "RUN"), ("--resume", "RUN"), ("--run_dir", "RUN", "--resume", "auto")
SAME = "--seed_everything=7"
LATEST = LatestCheckpoint().state_key
EARLY = ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/acc1", "--trainer.callbacks.mode=max")
EARLY += ("--trainer.callbacks.patience=2", "--trainer.callbacks.min_delta=10")
WITHOUT_EARLY = '--trainer.callbacks=[{"class_path": "BestCheckpoint"}, {"class_path": "LatestCheckpoint"}]'
STATES = {
    "fresh": State((START,), {}, SAME, True),
    "resumed once": State(((*START, "--trainer.max_epochs=1"), (*RESUMED, "--trainer.max_epochs=3")), {}, SAME, True),
    "begun with auto": State(((*AUTO, "--trainer.max_epochs=2"),), {}, "--trainer.max_epochs=3", True),
    "killed and resumed": State((AUTO, AUTO), {"KILL_AT": "0 batch_end 8 SIGKILL"}, SAME, True),
    "stopped by max_steps": State(((*START, "--trainer.max_steps=8"),), {}, "--trainer.max_steps=-1", True),
    "stopped by max_time": State(
        ((*START, "--trainer.max_time=00:00:00:01"),), {"WAIT_AT": "8"}, "--trainer.max_time=01:00:00:00", True
    ),
    "stopped by EarlyStopping": State(((*START, *EARLY),), {}, WITHOUT_EARLY, True),
    "stopped by Ctrl+C": State((START,), {"KILL_AT": "0 backward 8 SIGINT"}, SAME, False),
}


@pytest.fixture(scope="module")
def made(fit_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Copy the run of a state, which is made once, to a folder."""
    runs: dict[str, Path] = {}

    def copy(name: str, target: Path) -> Path:
        if name not in runs:
            run = runs[name] = tmp_path_factory.mktemp("state") / "run"
            for number, words in enumerate(STATES[name].commands):
                variables = STATES[name].environment if number == 0 else {}
                if "SIGKILL" in variables.get("KILL_AT", ""):
                    small_runs.fit(fit_here.config, run, 1, run.parent / "log", variables["KILL_AT"])  # type: ignore[attr-defined]
                else:
                    assert fit_here(*(run if word == "RUN" else word for word in words), **variables) in (0, 130)
        shutil.copytree(runs[name], target)
        return target

    return copy


def content(run: Path) -> dict[Path, bytes]:
    return {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name", ["begun with auto", *map(exhaustive, [name for name in STATES if name != "begun with auto"])]
)
def test_a_run_is_evaluated_repeated_and_exported(
    name: str,
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = made(name, tmp_path / "run")
    before, config = content(run), run / "config.yaml"
    assert not set(OF_ONE_START) & set(yaml.safe_load(config.read_text()))
    monkeypatch.chdir(tmp_path)

    evaluated = tmp_path / "test"
    assert fit_here("--config", config, "--ckpt_path", run, "--run_dir", evaluated, command="test") == 0
    assert json.loads((evaluated / "summary.json").read_text())["status"] == "completed"
    assert fit_here("--config", config, "--trainer.max_epochs=1", "--trainer.max_steps=2", command="fit") == 0
    (repeated,) = tmp_path.glob("runs/digits/dropoutnet/*")
    assert json.loads((repeated / "summary.json").read_text())["steps"] == 2
    assert fit_here("--config", repeated / "config.yaml", "--ckpt_path", repeated, command="validate") == 0

    assert len(best_checkpoints(run)) == 1
    assert content(run) == before


SAMPLE = [
    ("begun with auto", "--run_dir RUN --resume auto --config CONFIG"),
    ("stopped by max_time", "--resume RUN"),
    ("stopped by Ctrl+C", "--config CONFIG --resume RUN"),
]
GOING_ON = [
    (name, words) for name in STATES for words in ("--resume RUN", "--run_dir RUN --resume auto --config CONFIG")
]
GOING_ON += [("fresh", "--resume RUN --config CONFIG")]


@pytest.mark.parametrize(("name", "words"), [*SAMPLE, *(exhaustive(*case) for case in GOING_ON if case not in SAMPLE)])
def test_a_run_goes_on(
    name: str,
    words: str,
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = made(name, tmp_path / "moved" / "elsewhere")
    options = words.replace("CONFIG", str(run / "config.yaml")).replace("RUN", str(run)).split()
    if STATES[name].is_finished:
        before = content(run)
        assert fit_here(*options, command="fit") == 0
        assert content(run) == before
        assert f"The run {run} is finished" in caplog.text
    assert fit_here(*options, STATES[name].on, command="fit") == 0
    assert_same_run(run, undisturbed_here())
    assert json.loads((run / "summary.json").read_text())["status"] == "completed"
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["elsewhere"]


@pytest.mark.parametrize(
    "spelling", ["~/run", *map(exhaustive, ("run", "./run/", "folder/../run", "link", "link/", "."))]
)
def test_a_run_is_known_by_each_spelling_of_its_path(
    spelling: str,
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = made("begun with auto", tmp_path / "run")
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(run if spelling == "." else tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    test = ["--config", run / "config.yaml", f"--ckpt_path={spelling}", "--run_dir", tmp_path / "test"]
    assert fit_here(*test, command="test") == 0
    assert fit_here(f"--resume={spelling}", "--trainer.max_epochs=3", command="fit") == 0
    assert_same_run(run, undisturbed_here())


def test_a_kill_between_the_two_saves_leaves_one_best(
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
) -> None:
    run = made("begun with auto", tmp_path / "run")
    whole = undisturbed_here()
    (best,) = best_checkpoints(whole)
    for path in (best, best.with_name(best.name + ".sha256")):  # saved, and not yet in the index
        shutil.copy(path, run / "checkpoints" / path.name.replace("best", "best-9999"))
    assert [path.name for path in best_checkpoints(run)] == [Path(CheckpointIndex.of_run(run).best or "").name]
    assert (
        fit_here("--config", run / "config.yaml", "--ckpt_path", run, "--run_dir", tmp_path / "t", command="test") == 0
    )


def test_a_run_of_an_earlier_version_goes_on_and_knows_its_best(
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its config holds options of its start, its checkpoints the paths of another place, and there is no index."""
    monkeypatch.chdir(tmp_path)
    run = made("begun with auto", tmp_path / "run")
    (best,) = best_checkpoints(run)
    (run / "checkpoints.json").unlink()
    for path in (run / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        for callback in (state["callbacks"][name] for name in ("BestCheckpoint", LATEST) if name in state["callbacks"]):
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                callback[name] = callback[name] and f"/gone/checkpoints/{callback[name]}"
            scores = {f"/gone/checkpoints/{file}": torch.tensor(2.0) for file in callback["best_k_models"]}
            callback.update(best_k_models=scores, best_model_score=torch.tensor(2.0), dirpath="/gone/checkpoints")
        del state["callbacks"]["RunRecord"]["metrics_rows"]
        torch.save(state, path)
        write_digest(path, sha256_of(path))
    config = run / "config.yaml"
    config.write_text(config.read_text() + f"run_dir: {run}\nresume: auto\nckpt_path: null\nweights_only: null\n")
    assert fit_here("--config", config, "--ckpt_path", run, command="test") == 0
    assert fit_here("--config", config, "--trainer.max_steps=1", command="fit") == 0
    assert len(list(tmp_path.glob("runs/digits/dropoutnet/*"))) == 2
    assert fit_here("--resume", run, "--config", config, "--trainer.max_epochs=3", command="fit") == 0
    assert_identical(final_state(run), final_state(undisturbed_here()))
    assert best_checkpoints(run) == [best]  # with a score that no epoch has


def test_what_contradicts_itself_is_refused(
    made: Callable[[str, Path], Path], fit_here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made("begun with auto", tmp_path / "run")
    before, config = content(run), run / "config.yaml"
    assert fit_here("--resume", run, "--run_dir", tmp_path / "other", command="fit") == 2
    assert "leave run_dir out" in capsys.readouterr().err
    assert fit_here("--config", config, "--ckpt_path", run / "checkpoints" / "last-00000012.ckpt", command="fit") == 2
    assert "(max_epochs=2 is reached): raise --trainer.max_epochs." in capsys.readouterr().err
    assert fit_here("--resume", run, "--trainer.max_epochs=3", "--trainer.limit_train_batches=5", command="fit") == 2
    assert "An epoch of this run has 6 batches, and would now have 5" in capsys.readouterr().err
    assert content(run) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("spoiled", ["weights of another shape", *map(exhaustive, ("a weight that lacks", "a name"))])
def test_an_earlier_checkpoint_is_taken_where_the_latest_does_not_fit(
    spoiled: str,
    made: Callable[[str, Path], Path],
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    run = made("begun with auto", tmp_path / "run")
    latest = run / str(CheckpointIndex.of_run(run).latest)
    state = torch.load(latest, weights_only=True)
    name, weight = next(iter(state["state_dict"].items()))
    if spoiled == "a name":
        state["architecture"] = "Another"
    elif spoiled == "a weight that lacks":
        del state["state_dict"][name]
    else:
        state["state_dict"][name] = weight[:1]
    torch.save(state, latest)
    write_digest(latest, sha256_of(latest))
    assert fit_here("--resume", run, "--trainer.max_epochs=3", command="fit") == 0
    (said,) = {str(one.message) for one in recwarn if "is left out" in str(one.message)}
    assert said.startswith(f"The checkpoint {latest} ")
    assert_identical(final_state(run), final_state(undisturbed_here()))


def test_a_run_of_which_no_checkpoint_fits_is_refused(
    made: Callable[[str, Path], Path], fit_here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made("begun with auto", tmp_path / "run")
    before = content(run)
    other = ["--model=ResNet", "--model.depth=8", "--model.variant=cifar"]
    assert fit_here("--run_dir", run, "--resume=auto", "--config", run / "config.yaml", *other, command="fit") == 2
    assert "holds a DropoutNet, but the command line names a ResNet-8: give the config" in capsys.readouterr().err
    assert content(run) == before
