"""Checkpoints are whole or absent, and a damaged or hostile one is refused by name."""

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment.checkpoints import (
    DamagedCheckpointError,
    VerifiedCheckpointIO,
    latest_of_run,
    load_verified,
    newest_verified,
)
from records.checkpoints import CheckpointIndex, best_checkpoints, is_verified
from records.files import remove_parts


def save(path: Path, step: int = 1, epoch: int = 0) -> Path:
    VerifiedCheckpointIO().save_checkpoint({"epoch": epoch, "global_step": step, "weights": torch.arange(1000)}, path)
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoints" / "last.ckpt", step=7)
    assert is_verified(path)
    loaded = VerifiedCheckpointIO().load_checkpoint(path)
    assert loaded["global_step"] == 7
    assert torch.equal(loaded["weights"], torch.arange(1000))
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_digest_is_what_sha256sum_reads(tmp_path: Path) -> None:
    path = save(tmp_path / "last.ckpt")
    subprocess.run(["sha256sum", "--check", "--quiet", f"{path.name}.sha256"], cwd=tmp_path, check=True)


def test_removal_takes_the_digest_along(tmp_path: Path) -> None:
    VerifiedCheckpointIO().remove_checkpoint(save(tmp_path / "last.ckpt"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["write", "flush", "rename"])
def test_failed_save_leaves_what_was_there(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = save(tmp_path / "last-1.ckpt", step=1)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        target = {"write": (torch, "save"), "flush": (os, "fsync"), "rename": (os, "replace")}[failing]
        patch.setattr(*target, fail)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path / "last-2.ckpt", step=2)
    assert newest_verified(tmp_path) == earlier
    assert not list(tmp_path.glob("*.part"))


def test_every_truncation_and_bit_flip_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "last.ckpt")
    content = path.read_bytes()
    for length in range(0, len(content), 256):
        path.write_bytes(content[:length])
        assert not is_verified(path)
    for position in range(0, len(content), 97):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert not is_verified(path)
    with pytest.raises(DamagedCheckpointError, match=r"last\.ckpt is damaged \(its SHA-256 differs\)"):
        load_verified(path)


def test_newest_is_by_the_step_inside(tmp_path: Path) -> None:
    newest = save(tmp_path / "a.ckpt", step=20, epoch=2)
    older = save(tmp_path / "z.ckpt", step=10, epoch=1)
    os.utime(older)
    assert newest_verified(tmp_path) == newest


def test_one_that_does_not_verify_is_named_and_left_out(tmp_path: Path) -> None:
    older = save(tmp_path / "last-1.ckpt", step=1)
    torn = save(tmp_path / "last-2.ckpt", step=2)
    torn.write_bytes(torn.read_bytes()[:500])
    unsigned = save(tmp_path / "last-3.ckpt", step=3)
    (tmp_path / "last-3.ckpt.sha256").unlink()
    with pytest.warns(UserWarning, match="does not verify") as warnings:
        assert newest_verified(tmp_path) == older
    assert {path.name for path in (torn, unsigned) for warning in warnings if path.name in str(warning.message)} == {
        "last-2.ckpt",
        "last-3.ckpt",
    }


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert newest_verified(tmp_path / "checkpoints") is None


def test_partial_files_are_removed(tmp_path: Path) -> None:
    kept = save(tmp_path / "last.ckpt")
    (tmp_path / "last-2.ckpt.part").write_bytes(b"half")
    remove_parts(tmp_path)
    assert not list(tmp_path.glob("*.part"))
    assert is_verified(kept)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def test_hostile_checkpoint_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": Hostile()}, "zip.ckpt")
    Path("pickle.ckpt").write_bytes(pickle.dumps({"epoch": Hostile()}))
    Path("empty.ckpt").touch()
    for name in ("zip.ckpt", "pickle.ckpt", "empty.ckpt"):
        with pytest.raises(DamagedCheckpointError, match=f"{name} is no checkpoint that can be trusted"):
            load_verified(Path(name))
    assert not Path("executed").exists()


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpointError, match="There is no checkpoint"):
        VerifiedCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_temporary_file_stands_in_the_target_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (moved.append((old, new)), replace(old, new)))
    save(tmp_path / "last.ckpt")
    assert all(Path(old).parent == Path(new).parent == tmp_path for old, new in moved)


@pytest.mark.parametrize("instant", range(6))
def test_a_checkpoint_of_a_constant_name_is_whole_at_each_instant(
    instant: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before any of the renames, or after it, leaves the old checkpoint or the new one, verified."""
    save(tmp_path / "last.ckpt", step=1)
    replace, renames = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if len(renames) == instant // 2 and instant % 2 == 0:
            raise KeyboardInterrupt
        replace(source, target)
        renames.append(target)
        if len(renames) == instant // 2 + 1 and instant % 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "last.ckpt", step=2)
    assert is_verified(tmp_path / "last.ckpt")
    steps = load_verified(tmp_path / "last.ckpt")["global_step"]
    assert steps == (1 if instant < 3 else 2)


def test_the_index_names_files_of_the_run_alone(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside.ckpt")
    run = tmp_path / "run"
    inside = save(run / "checkpoints" / "best-0001.ckpt")
    for name in ("../outside.ckpt", str(outside), "checkpoints/gone.ckpt", None):
        CheckpointIndex(best=name, latest=name).write(run)
        assert best_checkpoints(run) == [inside]
        assert latest_of_run(run) == inside
    (run / "checkpoints.json").write_text("[1]")
    assert best_checkpoints(run) == [inside]
