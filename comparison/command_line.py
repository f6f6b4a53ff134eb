"""How the commands that only read and print end: an exit status, and one sentence for what the user must change."""

import os
import sys
from collections.abc import Callable


def exit_status(command: Callable[[], None]) -> int:
    """Run a command and turn what ends it into an exit status.

    Args:
        command: Prints its result; raises a ValueError where the user must change something.

    Returns:
        0, or 2 after an error, which is printed as one sentence.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without ± or – shows a question mark instead of a traceback.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        command()
        sys.stdout.flush()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # of `… | head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
    return 0
