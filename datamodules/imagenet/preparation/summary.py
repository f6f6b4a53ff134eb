"""What a prepared copy holds, in a few lines."""

from collections import Counter

from datamodules.photographs.index import Manifest, Odd

_MOST_NAMES = 30


def summary(manifest: Manifest) -> str:
    """Counts, classes, sizes, and what was odd.

    Args:
        manifest: Of the copy.
    """
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
    more = [f"  … and {len(odd) - _MOST_NAMES:,} more: the manifest has them all"] if len(odd) > _MOST_NAMES else []
    lines = [f"  {entry.split}/{entry.name}: {entry.what}" for entry in odd[:_MOST_NAMES]]
    return [f"{action:<10} {len(odd):,}", *lines, *more]
