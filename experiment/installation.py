"""What is wrong with the installation, in one sentence, before an import fails with a page of traceback."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REMEDY = "run `pip install -r requirements.txt`"
COMPROMISED = ("2.6.2", "2.6.3")


def check_installation() -> None:
    """Exit with one sentence if the installed packages, by their metadata, cannot work.

    Raises:
        SystemExit: With code 2, after the sentence.
    """
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    if problem := installation_problem(dependencies, _version, _torch_requirement()):
        _exit(problem)


@contextmanager
def explained_imports() -> Iterator[None]:
    """Exit with one sentence if the installation cannot work, or if an import of the block shows that it does not.

    Raises:
        SystemExit: With code 2, after the sentence.
    """
    check_installation()
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or (ROOT / package).exists():
            raise
        _exit(f"{package} is not installed for {sys.executable}: {REMEDY}.")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _exit(_mismatch(_version("torch"), _version("torchvision"), _torch_requirement()))


def installation_problem(
    dependencies: Sequence[str], version_of: Callable[[str], str | None], torch_requirement: str | None
) -> str | None:
    """Compare what is installed with what is needed, by the packages' metadata alone.

    Args:
        dependencies: Requirements, as in ``torch>=2.10`` or ``torch>=2.10,<3``.
        version_of: Gives the installed version of a package, or None.
        torch_requirement: What the installed torchvision says of torch, as in ``==2.15.0``; None if nothing.

    Returns:
        One sentence that names the remedy, or None if all is well.

    Source:
        The compromised releases: GHSA-w37p-236h-pfx3.
    """
    for name in ("lightning", "pytorch-lightning"):
        if version_of(name) in COMPROMISED:
            return (
                f"{name} {version_of(name)} is a compromised release (GHSA-w37p-236h-pfx3): uninstall it, replace the "
                f"keys and passwords of this machine, then {REMEDY}."
            )
    for dependency in dependencies:
        if problem := _problem_of(dependency, version_of):
            return problem
    if version_of("lightning") != version_of("pytorch-lightning"):
        return (
            f"lightning {version_of('lightning')} and pytorch-lightning {version_of('pytorch-lightning')} must be of "
            f"the same version: {REMEDY}."
        )
    torch, torchvision = version_of("torch"), version_of("torchvision")
    if torch_requirement:
        needed, installed = _release(torch_requirement.lstrip("=>")), _release(str(torch))
        if installed < needed or (torch_requirement.startswith("==") and installed != needed):
            return _mismatch(torch, torchvision, torch_requirement)
    return None


def _problem_of(dependency: str, version_of: Callable[[str], str | None]) -> str | None:
    parts = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)(?:,<([\d.]+))?", dependency)
    assert parts is not None, dependency
    name, minimum, limit = parts.groups()
    version = version_of(name)
    if version is None:
        return f"{name} is not installed for {sys.executable}: {REMEDY}."
    if _release(version) < _release(minimum):
        return f"{name} {version} is too old, {minimum} is needed: {REMEDY}."
    if limit and _release(version) >= _release(limit):
        return f"{name} {version} is too new, one below {limit} is needed: {REMEDY}."
    return None


def _mismatch(torch: str | None, torchvision: str | None, torch_requirement: str | None) -> str:
    needed = f" (it needs torch{torch_requirement})" if torch_requirement else ""
    return (
        f"torchvision {torchvision} does not match the installed torch {torch}{needed}: {REMEDY}, or install both "
        "together from one source, such as the same CUDA index."
    )


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, padded: (2, 6, 6) of 2.6.6+cpu, (2, 10, 0) of 2.10."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[+a-z]", version)[0])]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch_requirement() -> str | None:
    try:
        requirements = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    return next((found[1] for line in requirements if (found := re.match(r"torch ?\(?([=>]=[\d.]+)", line))), None)


def _exit(problem: str) -> None:
    sys.stderr.write(f"error: {problem}\n")
    raise SystemExit(2)
