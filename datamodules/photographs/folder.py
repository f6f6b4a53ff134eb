"""A folder of images, as torchvision's ImageFolder reads what is visible in it: the one set of rules for all commands.

    layout    folders
    splits    ROOT/train/CLASS/…, ROOT/val/CLASS/… (or valid, validation), ROOT/test/CLASS/…, as far as they are there
    classes   ROOT/CLASS/…
    unlabeled ROOT/IMAGE, or ROOT/train/IMAGE: one class

A class is a folder, and its label the place of its name among the sorted names. Its images are the regular files in
it, at any depth and through links, whose names end in one of `SUFFIXES`, in upper or lower case. Hidden files and those
that systems leave everywhere are ignored; whatever else is no image is left out, counted and named.
"""

import hashlib
import os
import time
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

# torchvision.datasets.folder.IMG_EXTENSIONS
SUFFIXES = (b".jpg", b".jpeg", b".png", b".ppm", b".bmp", b".pgm", b".tif", b".tiff", b".webp")
# of NAS boxes, of Windows, of archives from a Mac, and of file systems; in lower case
SYSTEM = frozenset(
    (
        *(b"@eadir", b"#recycle", b"#snapshot", b"thumbs.db", b"ehthumbs.db", b"desktop.ini", b"$recycle.bin"),
        *(b"system volume information", b"__macosx", b"lost+found", b"icon\r"),
    )
)
SPLIT_FOLDERS = {"train": (b"train",), "val": (b"val", b"valid", b"validation"), "test": (b"test",)}
_NAMES = frozenset(name for names in SPLIT_FOLDERS.values() for name in names)
_EXAMPLES = 3
THREADS = 8
WAITING = 5  # times the processor's time, which a busy machine alone does not reach


class Files(NamedTuple):
    """The images of a class, in the order of their names.

    Attributes:
        names: Paths within the folder of the class.
        sizes: In bytes.
        times: Of the last change, in nanoseconds.
    """

    names: list[bytes]
    sizes: list[int]
    times: list[int]


class Tally:
    """Files by what is to be said of them: how many, and the first names."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, path: bytes) -> None:
        """Count a file."""
        self.counts[kind] += 1
        if self.counts[kind] <= _EXAMPLES:
            self.examples.setdefault(kind, []).append(shown(path))

    def add_all(self, other: "Tally") -> None:
        """Count what another tally has."""
        for kind, examples in other.examples.items():
            self.examples.setdefault(kind, []).extend(examples[: max(0, _EXAMPLES - self.counts[kind])])
        self.counts += other.counts

    def __str__(self) -> str:
        return ", ".join(
            f"{count:,} {kind}" + (f" ({some(self.examples[kind], count)})" if kind != HIDDEN else "")
            for kind, count in sorted(self.counts.items())
        )


HIDDEN = "hidden or of the system"


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes:
        root: The folder.
        layout: splits, classes or unlabeled.
        folders: Path of each split within the root; empty where that is the root.
        splits: The images of each split by class, in the order of the labels.
        left_out: What is none of them.
        beside: Visible files that stand beside the folders of the classes.
    """

    root: Path
    layout: str
    folders: dict[str, bytes] = field(default_factory=dict)
    splits: dict[str, dict[bytes, Files]] = field(default_factory=dict)
    left_out: Tally = field(default_factory=Tally)
    beside: list[bytes] = field(default_factory=list)

    @property
    def classes(self) -> tuple[bytes, ...]:
        """Names of the folders of the classes, in the order of their labels: those of the first split, train."""
        return tuple(next(iter(self.splits.values())))

    @cached_property
    def digest(self) -> str:
        """Differs if any name, size or time does."""
        digest = hashlib.blake2b(digest_size=16)
        for split, classes in self.splits.items():
            digest.update(b"%s\0%d\0" % (split.encode(), len(classes)))
            for name, files in classes.items():
                digest.update(b"%s\0%d\0" % (name, len(files.names)))
                digest.update(b"\0".join(files.names))
                digest.update(array("q", files.sizes))
                digest.update(array("q", files.times))
        return digest.hexdigest()

    def path(self, split: str) -> Path:
        """Folder of a split."""
        return self.root / os.fsdecode(self.folders[split])

    def check_classes(self, *, complete: bool) -> None:
        """Refuse splits whose classes do not fit together.

        Args:
            complete: Whether each split must have all classes; otherwise validation and test images may lack some.

        Raises:
            ValueError: They do not, or a class has no image.
        """
        first, *others = self.splits
        for split in others:
            expected, found = set(self.classes), set(self.splits[split])
            missing, unknown = expected - found, found - expected
            if not unknown and not (missing and complete):
                continue
            names = some([shown(name) for name in sorted(missing | unknown)])
            if _composed(missing) & _composed(unknown):
                remedy = "their names look the same, but are written in two forms of Unicode: rename one of the folders"
            else:
                without, name = (split, min(missing)) if missing else (first, min(unknown))
                remedy = (
                    f"{self.path(without)} has no folder {shown(name)}: restore it, or remove the class from all splits"
                )
            raise ValueError(f"The classes of {self.path(first)} and {self.path(split)} differ ({names}): {remedy}.")
        for split, classes in self.splits.items():
            empty = [name for name, files in classes.items() if not files.names]
            if empty and (complete or split == first):
                more = f" ({len(empty)} such folders)" if len(empty) > 1 else ""
                first_empty = shown(os.path.join(os.fsencode(self.path(split)), empty[0]))
                raise ValueError(f"{first_empty} has no image{more}: restore it, or remove the class from all splits.")


def read_folder(root: Path, splits: Sequence[str] = tuple(SPLIT_FOLDERS)) -> Folder:
    """Find the images of a folder, in one pass; no file is opened.

    Args:
        root: The folder.
        splits: Those that are of interest, where it is divided.

    Raises:
        ValueError: The folder is not there, cannot be read, or holds no image.
    """
    left_out = Tally()
    try:
        names, files = _visible(root)
        split_folders = {split: [name for name in SPLIT_FOLDERS[split] if name in names] for split in SPLIT_FOLDERS}
        if len(split_folders["val"]) > 1:
            both = " and ".join(map(shown, split_folders["val"]))
            raise ValueError(f"{root} has {both}: keep one folder of validation images.")
        has_splits = _has_splits(root, names)
        found = {split: split_folders[split][0] for split in splits if has_splits and split_folders[split]}
        if not found:
            layout = "classes" if names else "unlabeled"
            folder = Folder(root, layout, {"train": b""}, left_out=left_out)
        else:
            layout = "splits" if _visible(root / os.fsdecode(next(iter(found.values()))))[0] else "unlabeled"
            folder = Folder(root, layout, found, left_out=left_out)
            _visible(root, left_out)
            for name in files:
                _add_other(left_out, name)
            for name in names:
                if name not in _NAMES:
                    left_out.add("folders beside train", name)
        for split, within in folder.folders.items():
            folder.splits[split] = dict(_classes(folder, within))
    except OSError as error:
        raise ValueError(
            f"{root} cannot be read ({error.strerror}): name a folder with a folder for each class, or with train and "
            "val of such (--data.root)."
        ) from None
    for split in [split for split, classes in folder.splits.items() if split != "train" and not classes]:
        left_out.add("splits without folders of classes", folder.folders.pop(split))
        del folder.splits[split]
    if not any(files.names for classes in folder.splits.values() for files in classes.values()):
        kinds = ", ".join(suffix.decode() for suffix in SUFFIXES)
        others = f", but {left_out}" if left_out.counts else ""
        raise ValueError(f"{root} holds no image ({kinds}){others}: name the folder that does (--data.root).")
    return folder


def some(names: Sequence[str], count: int | None = None) -> str:
    """The first few names of `count`, or of so many as are given."""
    return ", ".join(names[:_EXAMPLES]) + (", …" if (len(names) if count is None else count) > _EXAMPLES else "")


def shown(name: bytes | str) -> str:
    """A name as it can be printed, whatever its bytes: composed characters, and a mark for each that is not printable.

    Mac file systems give names decomposed, in which accents and the parts of Korean syllables stand for themselves.
    """
    text = unicodedata.normalize("NFC", os.fsencode(name).decode(errors="replace"))
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _composed(names: Iterable[bytes]) -> set[str]:
    return {shown(name) for name in names}


def _has_splits(root: Path, names: list[bytes]) -> bool:
    """Whether folders called train, val or test are splits, and not classes, which they are beside others."""
    found = [name for name in names if name in _NAMES]
    if len(found) == len(names):
        return bool(found)
    return b"train" in found and has_class_folders(root / "train")


def has_class_folders(folder: Path) -> bool:
    """Whether there are visible folders in a folder."""
    return folder.is_dir() and bool(_visible(folder)[0])


def _visible(folder: Path | bytes, left_out: Tally | None = None) -> tuple[list[bytes], list[bytes]]:
    """Names of the folders and of the files in a folder, sorted; what is hidden is counted."""
    folders: list[bytes] = []
    files: list[bytes] = []
    with os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            if not _is_hidden(entry.name):
                (folders if _is_folder(entry) else files).append(entry.name)
            elif left_out is not None:
                left_out.add(HIDDEN, entry.name)
    return sorted(folders), sorted(files)


def _is_folder(entry: "os.DirEntry[bytes]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_hidden(name: bytes) -> bool:
    return name.startswith(b".") or name.lower() in SYSTEM


def _add_other(left_out: Tally, path: bytes) -> None:
    """Count a file that is no image of a class by its suffix."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SUFFIXES:
        left_out.add("beside the folders of the classes", path)
    else:
        left_out.add(shown(suffix) if suffix else "without a suffix", path)


def _classes(folder: Folder, within: bytes) -> Iterator[tuple[bytes, Files]]:
    """The classes of a split, in the order of their names, and the images of each."""
    path = os.path.join(os.fsencode(folder.root), within)
    if folder.layout == "unlabeled":
        names = [b""]
    else:
        names, files = _visible(path, folder.left_out)
        for name in files:
            folder.beside.append(os.path.join(within, name))
            _add_other(folder.left_out, folder.beside[-1])
    walks = _each(lambda name: _Walk(os.path.join(path, name), os.path.join(within, name)), names)
    for name, walk in zip(names, walks, strict=True):
        folder.left_out.add_all(walk.left_out)
        yield name, walk.files()


def _each(walk: Callable[[bytes], "_Walk"], names: Sequence[bytes]) -> Iterator["_Walk"]:
    """Walk through folders, in several threads as long as nearly all time passes in waiting for a disk or a network.

    Where the file system answers from memory, threads only hinder each other: eight take three times as long as one.
    """
    waits = False
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(names), THREADS):
            began, worked = time.perf_counter(), time.process_time()
            yield from (threads.map if waits else map)(walk, names[start : start + THREADS])
            waits = time.perf_counter() - began > WAITING * (time.process_time() - worked)


class _Walk:
    """The images below a folder of a class, and what is left out there; one pass, no file is opened.

    Args:
        folder: The folder.
        within: Its path within the root, for messages.
    """

    def __init__(self, folder: bytes, within: bytes) -> None:
        self.within = within
        self.found = Files([], [], [])
        self.left_out = Tally()
        self.is_nested = False
        self._walk(folder, b"", ())

    def files(self) -> Files:
        """The images, in the order of their names."""
        if not self.is_nested:
            return self.found
        order = sorted(range(len(self.found.names)), key=self.found.names.__getitem__)
        names, sizes, times = self.found
        return Files([names[at] for at in order], [sizes[at] for at in order], [times[at] for at in order])

    def _walk(self, folder: bytes, prefix: bytes, above: tuple[os.stat_result, ...]) -> None:
        """Look into a folder and those below; a link to one of those above would have no end."""
        try:
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=attrgetter("name"), reverse=True)
        except OSError as error:
            self._leave_out(f"folders that cannot be read: {error.strerror}", prefix)
            return
        names, sizes, times = self.found
        while entries:
            # Millions of files pass here: what is true of most is asked first, and no object outlives its turn.
            entry = entries.pop()
            name = entry.name
            if name.lower().endswith(SUFFIXES) and not name.startswith(b".") and not _is_folder(entry):
                try:
                    status = entry.stat()
                except OSError as error:
                    broken = entry.is_symlink()
                    self._leave_out("broken links" if broken else f"not readable: {error.strerror}", prefix + name)
                    continue
                if S_ISREG(status.st_mode):
                    names.append(prefix + name)
                    sizes.append(status.st_size)
                    times.append(status.st_mtime_ns)
                else:
                    self._leave_out("no regular files", prefix + name)
            elif _is_hidden(name):
                self.left_out.add(HIDDEN, name)
            elif not _is_folder(entry):
                _add_other(self.left_out, os.path.join(self.within, prefix + name))
            else:
                status = os.stat(folder)
                if any(os.path.samestat(os.stat(entry.path), one) for one in (*above, status)):
                    self._leave_out("links that lead back", prefix + name)
                else:
                    self.is_nested = True
                    self._walk(entry.path, prefix + name + b"/", (*above, status))

    def _leave_out(self, kind: str, path: bytes) -> None:
        self.left_out.add(kind, os.path.join(self.within, path))
