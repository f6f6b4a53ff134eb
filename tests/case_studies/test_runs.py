"""The runs of a study: one directory for one experiment, whichever study wants it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from case_studies.__main__ import main
from case_studies.page import render_page
from case_studies.pool import why
from case_studies.publication import save
from case_studies.report import record_of, tuned
from case_studies.results import judge
from case_studies.runs import RUNS, PlannedRun, distinct, planned, tuning_runs
from case_studies.study import RATE, Study, studies
from case_studies.verdicts import Verdict
from records.summary import COMPLETED, Summary

COMMITTED = Path(__file__).parents[2] / "results" / "case_studies"


def study(**changes: Any) -> Study:
    values: dict[str, Any] = {
        "name": "small",
        "number": 1,
        "title": "Deeper networks have more parameters",
        "question": "Is it so?",
        "claim": {"paper": "Doe, Roe, Poe 2012: It", "section": "§1", "words": "it is so"},
        "varies": ["model.depth"],
        "base": ["configs/base.yaml", "configs/data/digits.yaml", "configs/model/resnet20.yaml"],
        "arms": {"deep": {"options": {"model.depth": 20}}, "shallow": {"options": {"model.depth": 8}}},
        "scales": {"laptop": {"seeds": [1, 2, 3, 4, 5, 6], "minutes": 1}},
        "measures": {
            "error": {"noun": "test error", "unit": "%", "summary": "metrics.test/acc1", "complement": True},
            "steps": {"noun": "steps", "column": "val/acc1", "take": "reached", "reaches": 0.5, "of": "step"},
        },
        "parts": {
            "it": {"says": "It is so.", "measure": "error", "contrast": {"shallow": 1, "deep": -1}, "above": 0.01}
        },
        "checks": [{"says": "It learns.", "measure": "error", "arms": ["deep"], "below": 0.5}],
        "differs": "Everything.",
        "would_change": "Anything.",
    }
    return Study.model_validate(values | changes)


def finish(run: PlannedRun, accuracy: float, register: bool = True, best: float = 0.5) -> None:
    run.directory.mkdir(parents=True)
    if register:
        run.register()
    known = {"format": 1, "status": COMPLETED, "wall_time_seconds": 60.0, "metrics": {"test/acc1": accuracy}}
    found = {"best": {"val/acc1": {"value": best, "epoch": 1, "step": 14}}}
    Summary.of(known | found, "the test").write(run.directory)
    (run.directory / "metrics.csv").write_text("epoch,step,images_seen,val/acc1\n0,7,70,0.4\n1,14,140,0.6\n")


def test_runs_come_seed_by_seed(tmp_path: Path) -> None:
    runs = planned(study(), "laptop", tmp_path)
    assert [(run.seed, run.arm) for run in runs[:4]] == [(1, "deep"), (1, "shallow"), (2, "deep"), (2, "shallow")]
    assert len({run.directory for run in runs}) == 12


def test_rates_are_tuned_on_a_seed_of_their_own_and_count_more_than_the_recipe(tmp_path: Path) -> None:
    """Whether rates are found already changes nothing in how they are found; ResNet-20's recipe has 0.1."""
    for arms in ({}, {"deep": {RATE: 0.3}}):
        small = study(scales={"laptop": {"seeds": [1, 2, 3, 4, 5, 6], "minutes": 1, "arms": arms}})
        tuning = tuning_runs(small, "laptop", tmp_path)
        assert [(run.arm, run.seed, rate) for run, rate in tuning.items()] == [
            (arm, 0, rate) for arm in ("deep", "shallow") for rate in (0.03, 0.1, 0.3)
        ]
        assert len({run.directory for run in tuning}) == 6
    assert [run.options.get(RATE) for run in planned(small, "laptop", tmp_path)[:2]] == [0.3, None]
    for run, rate in tuning.items():
        finish(run, 0.5, best=0.5 + rate)
    assert 'deep": {model.optimizer.init_args.lr: 0.3}\n' in tuned(small, "laptop", tuning) + "\n"
    assert 'shallow": {model.optimizer.init_args.lr: 0.3}  # not so in the file' in tuned(small, "laptop", tuning)
    assert tuning_runs(study(tuning=None), "laptop", tmp_path) == {}


def test_one_experiment_has_one_directory_whoever_wants_it(tmp_path: Path) -> None:
    """ResNet-20 is the default of its config, so an arm that says so is the same run as one that does not."""
    one = planned(study(), "laptop", tmp_path)
    other = planned(
        study(name="other", arms={"as it is": {}, "9": {"options": {"model.depth": 8}}}, parts={}, checks=[]),
        "laptop",
        tmp_path,
    )
    assert [run.directory for run in one] == [run.directory for run in other]
    assert [run.study.name for run in distinct([*one, *other])] == ["small"] * 12


def test_the_command_says_all(tmp_path: Path) -> None:
    run = planned(study(options={"trainer.callbacks+": {"class_path": "GradientFlow"}}), "laptop", tmp_path)[0]
    assert run.words[:3] == ["fit", "--config", "configs/base.yaml"]
    assert "--model.depth=20" in run.words
    assert '--trainer.callbacks+={"class_path": "GradientFlow"}' in run.words
    assert run.words[-4:] == [
        "--seed_everything=1",
        "--data.split_seed=1",
        f"--run_dir={run.directory}",
        "--resume=auto",
    ]


def test_an_evaluation_waits_for_its_run(tmp_path: Path) -> None:
    arms = {"flip": {"evaluates": "one view", "configs": ["configs/evaluation/flip.yaml"]}, "one view": {}}
    trained, evaluated = planned(study(arms=arms, parts={}, checks=[]), "laptop", tmp_path)[:2]
    assert (trained.arm, evaluated.arm) == ("one view", "flip")
    assert evaluated.trained is trained
    assert evaluated.words[:3] == ["test", "--config", f"{trained.directory}/config.yaml"]


def test_a_verdict_rests_on_finished_runs(tmp_path: Path) -> None:
    runs = planned(study(), "laptop", tmp_path)
    assert judge(study(), "laptop", runs).verdict is Verdict.OPEN
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    result = judge(study(), "laptop", runs)
    assert result.verdict is Verdict.SUPPORTED
    assert result.exploratory == ""
    assert result.findings["it"].mean == pytest.approx(0.0535)
    assert result.figures["steps"]["deep"][1] == 14
    assert result.core_seconds == 12 * 60


def test_the_page_holds_the_claim_the_verdict_and_the_seeds(tmp_path: Path) -> None:
    judged = study(parts={"it": {**study().parts["it"].model_dump(exclude_defaults=True), "says": "It is <b>so</b>."}})
    runs = planned(judged, "laptop", tmp_path)
    assert "no verdict yet" in render_page([judge(judged, "laptop", runs)])
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    page = render_page([judge(judged, "laptop", runs)])
    assert "it is so" in page
    assert "supported" in page
    assert page.count('class="dot" data-seed=') == 6
    assert "It is &lt;b&gt;so&lt;/b&gt;." in page
    assert "http" not in page.replace("http-equiv", "")  # it loads nothing


def test_a_condition_that_is_not_met_voids_the_verdict(tmp_path: Path) -> None:
    strict = study(checks=[{"says": "It learns well.", "measure": "error", "arms": ["deep"], "below": 0.05}])
    runs = planned(strict, "laptop", tmp_path)
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    result = judge(strict, "laptop", runs)
    assert result.verdict is Verdict.VOID
    assert result.findings["it"].reason == "It learns well."


def test_a_rule_that_changed_after_the_runs_is_exploratory(tmp_path: Path) -> None:
    for run in planned(study(), "laptop", tmp_path):
        finish(run, 0.9 + 0.001 * run.seed * (run.arm == "deep"))
    part = {"says": "It is so.", "measure": "error", "contrast": {"shallow": 1, "deep": -1}, "above": 0.0}
    looser = study(parts={"it": part})
    result = judge(looser, "laptop", planned(looser, "laptop", tmp_path))
    assert result.exploratory == "the rule of 12 of 12 runs was another one, or none, when they began"


def test_a_failed_run_is_named_with_its_reason(tmp_path: Path) -> None:
    run = planned(study(), "laptop", tmp_path)[0]
    run.directory.mkdir(parents=True)
    Summary.of({"format": 1, "status": "failed", "error": "ValueError: no"}, "x").write(run.directory)
    (failed,) = judge(study(), "laptop", [run]).failed
    assert (failed.arm, failed.seed, failed.reason) == ("deep", 1, "ValueError: no")
    assert why(run) == "ValueError: no"


def test_plans_are_what_their_engines_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for form in ("sh", "slurm"):
        assert main(["plan", "views", "--scale", "test", "--format", form, "--runs", str(tmp_path)]) == 0
        script = tmp_path / form
        script.write_text(capsys.readouterr().out)
        subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.read_text().count(" && srun python main.py test ") == 4  # behind the run that they evaluate
    assert "--array=0-1" in script.read_text()
    assert main(["plan", "views", "--scale", "test", "--format", "snakemake", "--runs", str(tmp_path)]) == 0
    rules = capsys.readouterr().out
    assert rules.count("rule run_") == 6
    assert rules.count("    input: ") == 4


def test_runs_are_filed_at_wandb_by_study_and_arm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["plan", "views", "--scale", "test", "--runs", str(tmp_path)]
    assert main(words) == 0
    plain = capsys.readouterr().out
    assert main([*words, "--wandb", "landmarks"]) == 0
    logged = capsys.readouterr().out
    assert "WandbLogger" not in plain
    assert logged.count('"group": "views", "tags": ["test", "one view"]') == 2
    directories = re.compile(r"--run_dir=\S+")
    assert directories.findall(plain) == directories.findall(logged)


def test_what_is_saved_gives_the_same_verdict_again(tmp_path: Path) -> None:
    runs = planned(study(), "laptop", tmp_path / "runs")
    for run in runs:
        finish(run, 0.9 if run.arm == "deep" else 0.8 - 0.001 * run.seed)
    tuning = tuning_runs(study(), "laptop", tmp_path / "runs")
    first = next(iter(tuning))
    finish(first, 0.9, best=0.75)
    result = judge(study(), "laptop", runs)
    path = save(result, runs, tuning, tmp_path / "saved")
    saved = json.loads(path.read_text())
    assert (path.name, saved["verdict"], saved["seeds"]) == ("small.json", "supported", [1, 2, 3, 4, 5, 6])
    assert saved["tuning"]["deep"] == {"0.03": 0.25, "0.1": None, "0.3": None}
    again = planned(study(), "laptop", tmp_path / "saved" / "runs")
    assert record_of(judge(study(), "laptop", again)) == record_of(result)
    assert sorted(file.name for file in again[0].directory.iterdir()) == ["metrics.csv", "summary.json"]


def test_without_runs_of_ones_own_the_committed_ones_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("case_studies.__main__.ROOT", tmp_path)
    (views,) = studies(["views"])
    for run in planned(views, "laptop", tmp_path / "results" / "case_studies" / "runs"):
        finish(run, 0.9 if run.trained else 0.85)
    assert main(["table", "views"]) == 0
    printed = capsys.readouterr().out
    assert " 18/18 " in printed
    assert "Trained by the project, in results/case_studies: views." in printed
    finish(planned(views, "laptop", RUNS)[0], 0.9)
    assert main(["table", "views"]) == 0
    assert " 1/18 " in (printed := capsys.readouterr().out)
    assert "Trained by the project" not in printed


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.json")), ids=lambda path: path.stem)
def test_a_committed_verdict_follows_from_its_study_and_its_runs(path: Path) -> None:
    """A change of a study, or of a config that its runs share, makes new experiments, which are to be run again."""
    saved = json.loads(path.read_text())
    (of,) = studies([saved["study"]])
    result = judge(of, saved["scale"], planned(of, saved["scale"], COMMITTED / "runs"))
    again = record_of(result)
    assert again["fingerprint"] == saved["fingerprint"]
    assert (again["verdict"], again["exploratory"], again["runs"]) == (saved["verdict"], None, saved["runs"])
    assert again["figures"] == saved["figures"]


def test_verdicts_are_json_for_other_programs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["verdict", "--json", "--runs", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["study"] for one in found] == [study.name for study in studies()]
    assert {one["verdict"] for one in found} == {"open"}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["run", "nothing"], "no study is called nothing"),
        (["plan", "degradation", "--scale", "huge"], "degradation has no scale huge: it has"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert error in capsys.readouterr().err


@pytest.mark.slow(1)
def test_the_table_waits_for_no_network() -> None:
    """A login node has no time for PyTorch."""
    program = "import sys; from case_studies.__main__ import main; main(['table']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
