"""Whether a run can talk to the server of Weights & Biases, found out in seconds and without raising."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Literal

from wandb.errors import AuthenticationError
from wandb.sdk.lib import wbauth

PROBE_SECONDS = 3.0

Mode = Literal["online", "offline", "shared", "disabled"]


def choose_mode(
    configured: str, offline: bool, find_key: Callable[[], bool], server_problem: Callable[[], str | None]
) -> tuple[Mode, str | None]:
    """Decide how W&B takes part in a run.

    Args:
        configured: Mode of ``WANDB_MODE`` or of wandb's settings files; ``"online"`` if neither sets one.
        offline: Whether the config asks for an offline run.
        find_key: Whether wandb would find credentials; asked only if the answer matters.
        server_problem: What keeps the server from being used, or None; asked only if there is a key.

    Returns:
        The mode, and for an offline run the reason.
    """
    if configured == "disabled":
        return "disabled", None
    if offline or configured in ("offline", "dryrun"):
        return "offline", "as configured"
    if not find_key():
        return "offline", "no API key was found, see `wandb login`"
    if problem := server_problem():
        return "offline", problem
    return ("shared" if configured == "shared" else "online"), None


def server_problem(url: str, timeout: float = PROBE_SECONDS) -> str | None:
    """Ask the server for an HTTP answer, of any content.

    Args:
        url: Address of the W&B server.
        timeout: Longest wait in seconds, name resolution included.

    Returns:
        What is wrong, or None if the server answers.
    """
    problem = [f"{url} did not answer within {timeout:g} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(url, timeout=timeout).close()
            if _has_no_data(url, timeout):
                problem[0] = f"{url} answers without data"
            else:
                problem.clear()
        except urllib.error.HTTPError as error:
            if error.code < 500:
                problem.clear()
            else:
                problem[0] = f"{url} answered with HTTP status {error.code}"
        except (OSError, ValueError) as error:
            if not isinstance(getattr(error, "reason", error), TimeoutError):
                problem[0] = f"{url} cannot be reached ({getattr(error, 'reason', error)})"

    # A thread, because no timeout of a socket bounds the resolution of its name.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(timeout)
    return next(iter(problem), None)


def _has_no_data(url: str, timeout: float) -> bool:
    """Whether a server answers W&B's first question with null, at which wandb's service would end."""
    question = json.dumps({"operationName": "Viewer", "query": "query Viewer { viewer { id } }"}).encode()
    request = urllib.request.Request(f"{url}/graphql", question, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            content = json.loads(answer.read(2**16))
    except (OSError, ValueError):  # it refuses strangers, or is no such server: wandb will see
        return False
    return isinstance(content, dict) and content.get("data", ()) is None


def has_key(url: str) -> bool:
    """Whether wandb would find usable credentials for a server: in the environment, a netrc file or its settings.

    Args:
        url: Address of the W&B server.

    Returns:
        False for a key that is not one, too.
    """
    try:  # wandb.login() would say so in the terminal, and write to the user's settings
        return wbauth.authenticate_session(host=url, source="", prompt=False, update_session=False) is not None
    except AuthenticationError:
        return False
