"""Hand a trained network on: `python -m experiment.export RUN FOLDER [--format safetensors torch_export onnx]`."""

import argparse
import inspect
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import datamodules
from experiment.checkpoints import checkpoint_to_evaluate, load_verified
from experiment.pretrained import PretrainedClassifier
from experiment.usage_errors import one_line_for_usage_errors
from lightning_modules import ImageClassifier
from lightning_modules.classifier import FROM_DATA
from records.checkpoints import run_of
from records.config import arguments_of, class_name, read_config
from records.files import UnreadableError
from records.layout import CHECKPOINTS, CONFIG
from records.record import fraction
from records.summary import Data, Summary
from records.weights import TO_REBUILD

FORMATS = ("safetensors", "torch_export", "onnx")
FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4


class ExportError(ArithmeticError):
    """What was written computes something other than the network."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends it with one line and exit code 2, a copy that differs with exit code 1."""
    options = _parser().parse_args(arguments)
    with one_line_for_usage_errors():
        try:
            for line in export(options.run, options.folder, options.format):
                print(line)
        except ExportError as error:
            sys.exit(f"error: {error}")


def export(run: Path, folder: Path, formats: Sequence[str] = ("safetensors",)) -> list[str]:
    """Write the network of a run to a new folder, and compare what was written with the network.

    Args:
        run: Directory of the run, whose best checkpoint is taken; or a checkpoint in one.
        folder: New folder.
        formats: safetensors: the layout of the Hugging Face Hub; torch_export: model.pt2, a program of torch.export
            that needs no file of this project, for batches of any size; onnx: model.onnx, which other runtimes read,
            from images to logits, for batches of any size.

    Returns:
        Lines that say how far each copy is from the network.

    Raises:
        ValueError: The folder is in use, a package is missing, or the run has no checkpoint or config that says which
            network it holds.
        ExportError: A copy computes something else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder: name a new one.")
    if "onnx" in formats and (missing := [name for name in FOR_ONNX if find_spec(name) is None]):
        raise ValueError(f"--format onnx needs {' and '.join(missing)}: pip install {' '.join(missing)}.")
    network = read_run(run)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Under another name until all is compared: a folder is whole or not there.
        temporary = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}): name another folder.") from None
    with temporary:
        partial = Path(temporary.name, folder.name)
        partial.mkdir()
        lines = []
        if "safetensors" in formats:
            network.save_pretrained(partial)
            # safetensors writes for its owner alone; a folder is for handing on.
            (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
            lines.append(compare("model.safetensors", network, PretrainedClassifier.from_pretrained(partial)))
        else:
            network.generate_model_card().save(partial / "README.md")
        if "torch_export" in formats:
            save_program(network, partial / "model.pt2")
            lines.append(compare("model.pt2", network, torch.export.load(partial / "model.pt2").module()))
        if "onnx" in formats:
            save_onnx(network, partial / "model.onnx")
            lines.append(compare("model.onnx", network, onnx_runtime(partial / "model.onnx")))
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    return [*lines, f"{network.network.architecture} is in {folder}."]


def read_run(run: Path) -> PretrainedClassifier:
    """The network of a run's best checkpoint, or of a checkpoint in a run, with what the run's files tell of it.

    Raises:
        ValueError: There is no such checkpoint, or it cannot be said which network it holds.
    """
    checkpoint = _checkpoint(run)
    directory = run if run.is_dir() else run_of(checkpoint)
    config = _config(directory)
    content = load_verified(checkpoint, needs=TO_REBUILD)
    name = class_name(config["model"])
    of_training = inspect.signature(ImageClassifier.__init__).parameters.keys() - set(FROM_DATA)
    summary = _summary(directory)
    pretrained = PretrainedClassifier(
        name,
        {key: value for key, value in content["hyper_parameters"].items() if key not in of_training},
        architecture=content.get("architecture"),
        training=training_record(summary, content, config),
        crop_side=_crop_side(config.get("data")),
        **_data_facts(config.get("data"), summary.data),
    )
    state = {key: value for key, value in content["state_dict"].items() if not key.startswith("auxiliary_heads.")}
    try:
        pretrained.network.load_state_dict(state)
    except RuntimeError:
        raise ValueError(
            f"{checkpoint} does not fit the {name} of its own arguments: use the version of this project that wrote it."
        ) from None
    return pretrained


def training_record(summary: Summary, checkpoint: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What a model card tells of the run: its data, length, seed, and the accuracy of this very checkpoint if known."""
    data, git = summary.data, summary.git
    split = data.selection_split or "val"
    steps = checkpoint.get("global_step")
    record = {
        "data": data.name,
        "split": split,
        "images": getattr(data, f"{split}_images", None),
        "steps": steps,
        "epochs": checkpoint.get("epoch", -1) + 1,
        "seed": config.get("seed_everything"),
        "precision": summary.precision,
        "commit": f"{git.commit}{' with changes' if git.dirty else ''}" if git and git.commit else None,
    }
    best = summary.best_of("val/acc1")
    if best.step is not None and best.step == steps:
        record |= {"acc1": summary.best_accuracy, "selected": True}
    elif summary.steps == steps:
        record |= {"acc1": summary.last_accuracy}
    if summary.steps == steps:
        record |= {"acc5": fraction(summary.metrics.get("val/acc5"))}
    return {key: value for key, value in record.items() if value is not None}


def save_program(network: PretrainedClassifier, file: Path) -> None:
    """Save what torch.export makes of the network; the number of images in a batch stays free."""
    torch.export.save(_program(network), file)


def save_onnx(network: PretrainedClassifier, file: Path) -> None:
    """Save the same program in the operators of ONNX."""
    with redirect_stdout(sys.stderr):  # it tells of its progress
        model = torch.onnx.export(_program(network), input_names=["images"], output_names=["logits"], dynamo=True)
    assert model is not None
    model.save(file)


def onnx_runtime(file: Path) -> Callable[[Tensor], Tensor]:
    """What ONNX Runtime computes on the processor from a file."""
    import onnxruntime  # noqa: PLC0415  an extra

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _program(network: PretrainedClassifier) -> torch.export.ExportedProgram:
    images = random_images(network, 2)  # torch.export takes a single image for a batch that is always one
    return torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))


@torch.no_grad()
def compare(name: str, network: PretrainedClassifier, copy: Callable[[Tensor], Tensor]) -> str:
    """A line that says how far the logits of `copy` are from those of `network`, on one and on three random images.

    Raises:
        ExportError: Further than rounding explains.
    """
    distances = []
    for batch_size in (1, 3):
        images = random_images(network, batch_size)
        expected = network(images)
        distances.append(float((copy(images) - expected).abs().max() / expected.abs().max()))
    if not max(distances) <= TOLERANCE:  # also if not a number
        raise ExportError(f"The logits of {name} differ by {max(distances):.1e} of the largest: it was not kept.")
    return f"{name}: logits differ by {max(distances):.1e} of the largest at most, on batches of 1 and 3 random images."


def random_images(network: PretrainedClassifier, batch_size: int) -> Tensor:
    """Noise (batch_size, in_channels, image_size, image_size), the same every time."""
    inner = network.network
    generator = torch.Generator().manual_seed(batch_size)
    return torch.randn(batch_size, inner.in_channels, inner.image_size, inner.image_size, generator=generator)


def _checkpoint(run: Path) -> Path:
    if not run.exists():
        raise ValueError(f"There is no run {run}: give a run's directory, or a checkpoint in one.")
    try:
        return checkpoint_to_evaluate(str(run))
    except ValueError:
        raise ValueError(
            f"The run {run} has no checkpoint, or several best ones: give a file of {run / CHECKPOINTS}."
        ) from None


def _config(directory: Path) -> dict[str, Any]:
    try:
        config = read_config(directory)
        class_name(config.get("model"))
        return config
    except UnreadableError:
        raise ValueError(
            f"There is no {directory / CONFIG} that names the network: give a run's directory, or a checkpoint in one."
        ) from None


def _summary(directory: Path) -> Summary:
    try:
        return Summary.read(directory)
    except UnreadableError:
        return Summary()


def _data_facts(part: Any, data: Data) -> dict[str, Any]:
    """Class names, mean and std of the run's data, as far as they are known."""
    try:
        data_set = datamodules.data_sets().get(class_name(part))
    except UnreadableError:
        data_set = None
    facts = {key: getattr(data, key) or getattr(data_set, key, None) for key in ("class_names", "mean", "std")}
    return {key: list(value) for key, value in facts.items() if isinstance(value, list | tuple)}


def _crop_side(part: Any) -> int | None:
    """What photographs are resized to before their center is cut out; None of data that have no borders."""
    side = arguments_of(part).get("crop_side") if isinstance(part, dict) else None
    return side if isinstance(side, int) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiment.export",
        description="Write a trained network to a new folder, without the parts that only training needs.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run's directory, whose best checkpoint is taken, or a checkpoint")
    parser.add_argument("folder", type=Path, help="new folder")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["safetensors"],
        help="safetensors: config, weights and model card as on the Hugging Face Hub (the default); "
        "torch_export: model.pt2, which runs without this project; onnx: model.onnx, for other runtimes",
    )
    return parser


if __name__ == "__main__":
    main()
