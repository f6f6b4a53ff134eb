"""Prepare ImageNet: `python -m datamodules.imagenet prepare | verify | show`."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from datamodules.imagenet.forms import DEVKIT, KAGGLE_LABELS, TRAIN, VAL, parquet_files, split_folders
from datamodules.imagenet.preparation.classes import NAMED, read_choice
from datamodules.imagenet.preparation.conversion import Encoding
from datamodules.imagenet.preparation.originals import Archives, Published
from datamodules.imagenet.preparation.parquet import ParquetFiles
from datamodules.imagenet.preparation.prepare import prepare
from datamodules.imagenet.preparation.tree import Tree
from datamodules.imagenet.preparation.units import LAYOUTS, Options, all_cores
from datamodules.imagenet.preparation.verify import verify
from datamodules.photographs.index import Manifest, Odd
from datamodules.photographs.reader import PreparedCopy
from records.failures import exit_status

ORIGINAL = ("original", "null", "none")
_MAX_NAMES = 30


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; after Ctrl+C, the same command goes on."""
    differences: list[str] = []

    def command() -> None:
        options = _parser().parse_args(arguments)
        if options.command == "prepare":
            print(_summary(_prepare(options)))
        elif options.command == "show":
            print(_summary(PreparedCopy(str(options.root)).manifest))
        elif found := verify(options.root, workers=options.workers or all_cores()):
            differences.extend(found)
            print("\n".join(found))
            print(f"error: {options.root} differs in {len(found)} places from what was prepared", file=sys.stderr)
        else:
            print(f"{options.root} is as it was prepared")

    return exit_status(command, "Stopped; the same command goes on.") or int(bool(differences))


def _prepare(options: argparse.Namespace) -> Manifest:
    return prepare(
        options.destination,
        _published(options),
        Options(
            layout=options.layout,
            encoding=Encoding(options.shorter_side, options.quality),
            shard_megabytes=options.shard_megabytes,
            classes=read_choice(options.classes),
            verify=not options.no_verify,
            skip_broken=options.broken == "skip",
            workers=options.workers or all_cores(),
        ),
    )


def _published(options: argparse.Namespace) -> Published:
    root = options.tree and options.tree.resolve()
    in_parquet = root is not None and split_folders(root) is None and bool(parquet_files(root))
    if options.val_labels and (root is None or in_parquet):
        raise ValueError("--val_labels is for photographs in the folder --tree: leave it out, these have their labels.")
    if root is not None:
        if options.archives or options.train or options.val:
            raise ValueError("--tree and the archives exclude each other: name one or the other.")
        if in_parquet:
            if options.layout == "tree":
                raise ValueError(
                    f"--layout tree: {root} holds Parquet files, whose order shards alone keep; leave it out."
                )
            return ParquetFiles(root, options.devkit)
        return Tree(root, options.devkit, options.val_labels)
    paths = []
    for option, name in (("train", TRAIN), ("val", VAL), ("devkit", DEVKIT)):
        path = getattr(options, option) or (options.archives and options.archives / name)
        if path is None:
            raise ValueError(f"--{option} is missing: name {name}, or with --archives the folder of all three.")
        paths.append(path)
    return Archives(*paths)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _shorter_side(text: str) -> int | None:
    return None if text.lower() in ORIGINAL else int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m datamodules.imagenet", description="Prepare ImageNet once, verify a prepared copy, show one."
    )
    commands = parser.add_subparsers(dest="command", metavar="prepare | verify | show", required=True)
    _add_prepare(
        commands.add_parser(
            "prepare", help="make a copy that is fast to read, from the official archives or a folder tree"
        )
    )
    for name, purpose in (
        ("verify", "compare a copy with its checksums; exit code 1 if it differs"),
        ("show", "print what a copy holds"),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("root", type=_path, metavar="ROOT", help="folder of the prepared copy")
        if name == "verify":
            command.add_argument("--workers", type=int, help="number of processes; default: one for each core")
    return parser


def _add_prepare(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Give the same command again after an interruption: finished shards (or classes of a tree) are not done twice."
    )
    add = command.add_argument
    add("destination", type=_path, metavar="DEST", help="folder of the prepared copy")
    add("--train", type=_path, metavar="TAR", help=f"archive of the training photographs, {TRAIN}")
    add("--val", type=_path, metavar="TAR", help=f"archive of the validation photographs, {VAL}")
    add(
        "--devkit",
        type=_path,
        metavar="TAR.GZ",
        help=f"development kit, {DEVKIT}; with --tree it gives the names of the classes, and labels of val",
    )
    add("--archives", type=_path, metavar="FOLDER", help="folder of the three archives, under their official names")
    add(
        "--tree",
        type=_path,
        metavar="FOLDER",
        help="folder instead of archives: train/CLASS/IMAGE and val/CLASS/IMAGE, or ImageNet as Kaggle or Hugging Face "
        "have it, or Tiny ImageNet",
    )
    add(
        "--val_labels",
        type=_path,
        metavar="FILE",
        help=f"with --tree, classes of the photographs of a flat val: {KAGGLE_LABELS}, or a class on each line, in the "
        "order of their names; found by itself where Kaggle has it",
    )
    add(
        "--layout",
        choices=LAYOUTS,
        default="shards",
        help="form of the copy: tar files, or a tree with a folder for each class; default: shards",
    )
    add(
        "--shorter_side",
        type=_shorter_side,
        default=256,
        metavar="PIXELS",
        help="shorter side to which larger images are reduced, or original to leave all as they are; default: 256",
    )
    add(
        "--quality", type=int, default=90, help="quality of the JPEGs of images that are reduced, 1 to 100; default: 90"
    )
    add(
        "--shard_megabytes",
        type=float,
        default=256,
        metavar="MB",
        help="approximate largest size of a shard; default: 256",
    )
    add(
        "--classes",
        metavar="WHICH",
        help=f"classes to take: a number for the first ones, {', '.join(NAMED)}, or a file of wnids; default: all",
    )
    add("--workers", type=int, help="number of processes; default: one for each core")
    add("--no_verify", action="store_true", help="accept archives whose MD5 is not the published one")
    add(
        "--broken",
        choices=("error", "skip"),
        default="error",
        help="whether truncated, empty, too large or unreadable images end the preparation, or are left out and listed"
        "; default: error",
    )


def _summary(manifest: Manifest) -> str:
    """Counts, classes, sizes, and what was odd, in a few lines."""
    first = manifest.classes[0]
    encoding = {key: value for key, value in manifest.encoding.items() if key != "kind"}
    how = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in encoding.items()) or "original"
    lines = [
        f"layout     {manifest.layout}, {how}",
        f"classes    {len(manifest.classes)}, from {first.wnid}{_in_brackets(first.names)}",
        *(
            f"{name:<10} {entry.images:,} images, {entry.bytes / 1e9:,.3f} GB"
            f"{f' in {len(entry.shards):,} shards' if entry.shards else ''}"
            for name, entry in manifest.splits.items()
        ),
        f"verified   {'from the published archives' if manifest.verified else 'no'}",
    ]
    left_out = [entry for entry in manifest.odd if entry.action == "left out"]
    converted = [entry for entry in manifest.odd if entry.action == "converted"]
    kept = Counter(entry.what for entry in manifest.odd if entry.action == "kept")
    lines += _listed("left out", left_out) + _listed("converted", converted)
    if kept:
        lines.append("kept       " + ", ".join(f"{count:,} {what}" for what, count in sorted(kept.items())))
    return "\n".join(lines)


def _in_brackets(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _listed(action: str, odd: list[Odd]) -> list[str]:
    if not odd:
        return []
    more = [f"  … and {len(odd) - _MAX_NAMES:,} more: the manifest has them all"] if len(odd) > _MAX_NAMES else []
    lines = [f"  {entry.split}/{entry.name}: {entry.what}" for entry in odd[:_MAX_NAMES]]
    return [f"{action:<10} {len(odd):,}", *lines, *more]


if __name__ == "__main__":
    sys.exit(main())
