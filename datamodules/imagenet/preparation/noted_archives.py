"""What one pass over an archive of 138 GB gave, kept so that a preparation that goes on need not read it again."""

import io
import json
from pathlib import Path

import numpy as np

from datamodules.download import Checksum
from datamodules.imagenet.preparation.archives import Members, compare, list_members
from datamodules.imagenet.preparation.durable_files import errors_of_writing_to, write_whole


class NotedArchives:
    """Checks archives, and keeps notes that hold while an archive's size and time of change stay what they were.

    Args:
        folder: Where the notes are.
        verify: Whether the archives must have their published digest.
    """

    def __init__(self, folder: Path, verify: bool) -> None:
        self.folder = folder
        self.verify = verify

    def check(self, path: Path, checksum: Checksum) -> str | None:
        """Compare a small archive with its digest.

        Args:
            path: The archive.
            checksum: The published one.

        Returns:
            The digest; None if nothing is to be verified.

        Raises:
            ValueError: It is another archive.
        """
        if not self.verify:
            return None
        try:
            found = checksum.of(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}): download it again.") from None
        compare(path, found, checksum)
        return found

    def members(self, path: Path, checksum: Checksum, *, of_classes: bool) -> tuple[Members, str | None]:
        """Find the photographs of an archive, or remember them.

        Args:
            path: The archive.
            checksum: The published one.
            of_classes: Whether it is a tar of a tar for each class.

        Returns:
            One `MEMBER` for each, and the digest; None if nothing is to be verified.

        Raises:
            ValueError: It is damaged, or another archive.
        """
        status = path.stat()
        state = {"bytes": status.st_size, "modified": status.st_mtime_ns}
        note, members_file = (self.folder / f"{path.name}{suffix}" for suffix in (".json", ".npy"))
        try:
            noted = json.loads(note.read_text())
            digest = noted.pop("digest")
            if noted == state and (digest == checksum.digest or not self.verify):
                return np.load(members_file), digest if self.verify else None
        except (OSError, ValueError, KeyError):
            pass  # no note yet
        members, digest = list_members(path, checksum if self.verify else None, of_classes=of_classes)
        content = io.BytesIO()
        np.save(content, members)
        with errors_of_writing_to(self.folder):
            write_whole(members_file, content.getvalue())
            write_whole(note, json.dumps({**state, "digest": digest}).encode())
        return members, digest
