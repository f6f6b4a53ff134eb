"""Messages of libraries that tell a user of this project nothing."""

import logging
import warnings

UNHELPFUL_WARNINGS = (
    r".*treespec, LeafSpec.*",  # Lightning 2.6.6 calls what torch 2.15 deprecates
    r".*does not have many workers.*",  # batches come from memory
    r".*Checkpoint directory .* exists and is not empty.*",  # that is what resuming means
    r".*The dirpath has changed from .*",  # an evaluation writes to a directory of its own
)


def silence_unhelpful_messages() -> None:
    """Keep them from the terminal; all other messages and warnings stay."""
    for message in UNHELPFUL_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "💡 Tip" not in record.getMessage()
