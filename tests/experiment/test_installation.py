import subprocess
import sys
from pathlib import Path

import pytest

from experiment.installation import check_installation, explained_imports, installation_problem

ROOT = Path(__file__).parents[2]
NEEDED = [
    "torch>=2.10",
    "torchvision>=0.25",
    "lightning>=2.6.6",
    "pytorch-lightning>=2.6.6",
    "jsonargparse[signatures]>=4.53,<4.54",
]
GOOD = {
    "torch": "2.15.0+cpu",
    "torchvision": "0.30.0+cpu",
    "lightning": "2.6.6",
    "pytorch-lightning": "2.6.6",
    "jsonargparse": "4.53.0",
}


def problem(torch_requirement="==2.15.0", **changes):
    installed = GOOD | {name.replace("_", "-"): version for name, version in changes.items()}
    return installation_problem(NEEDED, installed.get, torch_requirement)


def test_good_installation_has_no_problem():
    assert problem() is None
    assert problem(torch="2.16.0.dev20261101", torch_requirement=">=2.14.0") is None
    assert problem(torch="2.10", torch_requirement=None) is None


@pytest.mark.parametrize("name", GOOD)
def test_missing_package_is_named_with_the_remedy(name):
    sentence = problem(**{name: None})
    assert sentence.startswith(f"{name} is not installed for {sys.executable}")
    assert "pip install -r requirements.txt" in sentence


@pytest.mark.parametrize("name", ["lightning", "pytorch-lightning"])
@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_compromised_release_is_refused(name, version):
    assert "GHSA-w37p-236h-pfx3" in problem(**{name: version})


def test_old_package_is_refused():
    assert problem(lightning="2.6.5", pytorch_lightning="2.6.5").startswith(
        "lightning 2.6.5 is too old, 2.6.6 is needed"
    )
    assert problem(torch="2.9.1", torch_requirement=None).startswith("torch 2.9.1 is too old")


def test_package_that_is_too_new_is_refused():
    assert problem(jsonargparse="4.53.9") is None
    assert problem(jsonargparse="4.54.0").startswith("jsonargparse 4.54.0 is too new, one below 4.54 is needed")


def test_mixed_lightning_is_refused():
    assert "lightning 2.6.6 and pytorch-lightning 2.7.0" in problem(pytorch_lightning="2.7.0")


@pytest.mark.parametrize(
    ("torch", "requirement"), [("2.14.1", "==2.15.0"), ("2.16.0", "==2.15.0"), ("2.13.0", ">=2.14.0")]
)
def test_torch_of_another_torchvision_is_refused(torch, requirement):
    assert f"torchvision 0.30.0+cpu does not match the installed torch {torch}" in problem(requirement, torch=torch)


def test_this_installation_is_good():
    check_installation()


def test_check_imports_no_package():
    program = (
        "import sys; from experiment.installation import check_installation; check_installation();"
        "assert not {'torch', 'torchvision', 'lightning', 'yaml', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)


def exit_line(capsys, block):
    with pytest.raises(SystemExit) as exit_info, explained_imports():
        block()
    assert exit_info.value.code == 2
    return capsys.readouterr().err


def test_import_that_fails_for_a_missing_package(capsys):
    def block():
        import a_package_that_nobody_has.part  # noqa: F401

    line = exit_line(capsys, block)
    assert line.startswith("error: a_package_that_nobody_has is not installed for ")
    assert line.count("\n") == 1


def test_import_that_fails_because_the_builds_do_not_match(capsys):
    def block():
        raise RuntimeError("operator torchvision::nms does not exist")

    line = exit_line(capsys, block)
    assert line.startswith("error: torchvision ")
    assert "pip install -r requirements.txt" in line


@pytest.mark.parametrize("error", [RuntimeError("else"), ModuleNotFoundError("No module", name="experiment.nothing")])
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error)), explained_imports():
        raise error
