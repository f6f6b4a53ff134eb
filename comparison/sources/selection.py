"""Which of the runs that are found are wanted."""

from dataclasses import dataclass

from comparison.configuration import Labels


@dataclass(frozen=True)
class Selection:
    """Runs of one of the `groups` that have all of the `tags`; an empty list asks for nothing."""

    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def includes(self, labels: Labels) -> bool:
        """Whether a run with these labels is wanted."""
        return (not self.groups or labels.group in self.groups) and set(self.tags) <= set(labels.tags)

    def __str__(self) -> str:
        wanted = [" or ".join(f"group {group}" for group in self.groups), *(f"tag {tag}" for tag in self.tags)]
        return " and ".join(part for part in wanted if part)
