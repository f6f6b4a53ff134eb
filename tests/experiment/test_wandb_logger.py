import inspect as inspect_module
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb

from experiment.wandb_connection import choose_mode, server_problem
from experiment.wandb_logger import START_SECONDS, ResilientWandbLogger, better_values
from tests.experiment.wandb_server import no_account
from tests.forked import run_on_ranks

KEY = "a" * 40
SLACK = 1.0  # seconds: the machine that runs the tests may be busy


class Answers(BaseHTTPRequestHandler):
    status, post_delay = 200, 0.0

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        time.sleep(self.post_delay)
        self.do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def serve_http():
    """Start servers that answer GET with a status and POST after a delay."""
    servers = []

    def start(status=200, post_delay=0.0):
        handler = type("Handler", (Answers,), {"status": status, "post_delay": post_delay})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def wandb_environment(tmp_path):
    with no_account(tmp_path) as environment:
        yield environment


def inspect(directory, *options):
    """What `wandb leet inspect` reads from the log of the only run of a directory."""
    if not (Path(wandb.__file__).parent / "bin" / "wandb-core").exists():
        pytest.skip("wandb-core, which reads the log back, does not ship with this wandb")
    (log,) = Path(directory, "wandb").glob("offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", *options, "--json", str(log)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_disabled_stays_disabled():
    assert choose_mode("disabled", False, lambda: True, lambda: None) == ("disabled", None)


@pytest.mark.parametrize(("configured", "offline"), [("offline", False), ("dryrun", False), ("online", True)])
def test_wish_for_offline_asks_nobody(configured, offline):
    assert choose_mode(configured, offline, pytest.fail, pytest.fail) == ("offline", "as configured")


def test_without_a_key_no_server_is_asked():
    mode, reason = choose_mode("online", False, lambda: False, pytest.fail)
    assert mode == "offline"
    assert "wandb login" in reason


def test_server_problem_is_the_reason():
    assert choose_mode("online", False, lambda: True, lambda: "it is down") == ("offline", "it is down")


@pytest.mark.parametrize("configured", ["online", "shared"])
def test_online_with_key_and_server(configured):
    assert choose_mode(configured, False, lambda: True, lambda: None) == (configured, None)


def test_best_values():
    first = {"val/acc1": 0.5, "val/loss": 2.0}
    assert better_values({}, {**first, "train/loss": 1.0}) == first
    assert better_values(first, {"val/acc1": 0.4, "val/loss": 1.5}) == {"val/loss": 1.5}
    assert better_values(first, first) == {}
    assert better_values({}, {"val/loss": float("nan")}) == {}


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_any_answer_of_a_working_server_counts(serve_http, status):
    assert server_problem(serve_http(status)) is None


def test_server_with_an_error_has_a_problem(serve_http):
    assert "HTTP status 500" in server_problem(serve_http(500))


def test_closed_port_is_named(closed_port):
    assert "cannot be reached" in server_problem(closed_port)


def test_silent_server_is_given_up(silent_server):
    start = time.monotonic()
    assert "did not answer within 0.5 s" in server_problem(silent_server, timeout=0.5)
    assert time.monotonic() - start < 0.5 + SLACK


def test_slow_name_resolution_is_given_up(monkeypatch):
    def resolve(*args, **kwargs):
        time.sleep(0.6)
        raise socket.gaierror("unknown name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "did not answer within 0.3 s" in server_problem("http://somewhere.invalid", timeout=0.3)


def start_seconds(directory, **options):
    logger = ResilientWandbLogger(save_dir=str(directory), **options)
    start = time.monotonic()
    logger.log_metrics({"val/acc1": 0.5, "images_seen": 128}, step=0)
    return time.monotonic() - start


@pytest.fixture
def unusable_servers(serve_http, silent_server, closed_port):
    return {
        "closed port": closed_port,
        "silent": silent_server,
        "error 500": serve_http(500),
        "hangs after the first answer": serve_http(post_delay=60),
    }


@pytest.mark.filterwarnings("ignore:W&B stopped logging")
@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_MODE", "onlin"), ("WANDB_BASE_URL", "nowhere"), ("WANDB_API_KEY", " ")]
)
def test_senseless_environment_does_not_stop_the_run(name, value, wandb_environment, tmp_path):
    wandb_environment.setenv("WANDB_API_KEY", KEY)
    wandb_environment.setenv(name, value)
    assert start_seconds(tmp_path) < START_SECONDS


@pytest.mark.parametrize("server", ["no key", "closed port", "silent", "error 500", "hangs after the first answer"])
@pytest.mark.slow(3)
def test_start_without_a_usable_server_is_offline_within_five_seconds(
    server, unusable_servers, wandb_environment, tmp_path, caplog
):
    if server != "no key":
        wandb_environment.setenv("WANDB_API_KEY", KEY)
        wandb_environment.setenv("WANDB_BASE_URL", unusable_servers[server])
    with caplog.at_level(logging.INFO):
        assert start_seconds(tmp_path) < START_SECONDS + SLACK
    (folder,) = (tmp_path / "wandb").glob("*run-*-*")
    assert folder.name.startswith("offline-run-")
    (line,) = [message for message in caplog.messages if message.startswith("W&B")]
    assert line.startswith("W&B is offline (")
    assert line.endswith(str(folder))


@pytest.mark.slow(2)
def test_unusable_key_is_no_key(wandb_environment, tmp_path):
    wandb_environment.setenv("WANDB_API_KEY", "short")
    assert start_seconds(tmp_path) < START_SECONDS
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_disabled_by_the_environment_writes_nothing(wandb_environment, tmp_path):
    wandb_environment.setenv("WANDB_MODE", "disabled")
    start_seconds(tmp_path)
    assert not (tmp_path / "wandb").exists()


def test_directory_that_cannot_be_written_does_not_stop_the_run(wandb_environment, tmp_path):
    (tmp_path / "wandb").write_text("in the way")
    with pytest.warns(UserWarning, match="could not start even offline"):
        start_seconds(tmp_path)


def test_checkpoints_are_not_uploaded_from_an_offline_run(wandb_environment, tmp_path):
    with pytest.warns(UserWarning, match="log_model is ignored"):
        start_seconds(tmp_path, log_model="all", offline=True)


@pytest.mark.slow(3)
def test_offline_log_holds_config_metrics_and_summary(wandb_environment, tmp_path):
    logger = ResilientWandbLogger(
        save_dir=str(tmp_path),
        group="digits",
        tags=["ResNet"],
        job_type="fit",
        name="first",
        offline=True,
    )
    logger.record_config({"model": {"class_path": "ResNet", "init_args": {"depth": 20}}, "trainer": {"max_epochs": 3}})
    for step, accuracy in enumerate([0.5, 0.9, 0.7]):
        logger.log_metrics({"images_seen": 128 * step, "val/acc1": accuracy, "val/loss": 1 - accuracy}, step=step)
    logger.log_metrics({"test/acc1": 0.8}, step=2)
    logger.record_summary({"wall_time_seconds": 3.5})
    logger.experiment.finish()

    log = json.loads(inspect(tmp_path, "--summary"))
    assert log["config"]["model"]["init_args"] == {"depth": 20}
    assert log["config"]["trainer"] == {"max_epochs": 3}
    assert (log["project"], log["run_id"], log["name"], log["tags"]) == (
        "landmark-image-networks",
        logger.run_id,
        "first",
        ["ResNet"],
    )
    summary = log["summary"]
    assert summary["val/acc1"] == 0.7
    assert (summary["best/val_acc1"], summary["best/val_loss"]) == (0.9, pytest.approx(0.1))
    assert summary["wall_time_seconds"] == 3.5

    records = [json.loads(line) for line in inspect(tmp_path).splitlines()]
    (run,) = [record["run"] for record in records if record["type"] == "run"][:1]
    assert (run["run_group"], run["job_type"]) == ("digits", "fit")
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [row.get("val/acc1") for row in rows] == [0.5, 0.9, 0.7, None]
    assert rows[-1]["images_seen"] == 256  # the axis is known although the call did not give it


@pytest.mark.parametrize("id_from", ["config", "run directory"])
def test_resumed_offline_run_is_grouped_with_the_first(id_from, wandb_environment, tmp_path):
    first = ResilientWandbLogger(save_dir=str(tmp_path / "first"), offline=True)
    in_config = first.run_id if id_from == "config" else None
    resumed = ResilientWandbLogger(save_dir=str(tmp_path / "resumed"), id=in_config, offline=True)
    if id_from == "run directory":
        resumed.fill_in(first.run_id, [], "resumed", first.run_id)
    for logger in (first, resumed):
        logger.log_metrics({"val/acc1": 0.5}, step=0)
    assert resumed.run_id == first.run_id
    assert resumed.experiment.id != first.experiment.id == first.run_id
    assert resumed.experiment.group == first.run_id


def test_every_logger_has_a_run_of_its_own(wandb_environment, tmp_path):
    for name in ("first", "second"):
        start_seconds(tmp_path / name, offline=True)
    assert all(list((tmp_path / name / "wandb").glob("offline-run-*")) for name in ("first", "second"))


def test_failure_of_wandb_does_not_reach_the_training(wandb_environment, tmp_path, monkeypatch):
    logger = ResilientWandbLogger(save_dir=str(tmp_path), offline=True)
    logger.log_metrics({"val/acc1": 0.5}, step=0)
    run = logger.experiment
    monkeypatch.setattr(type(run), "log", lambda *args, **kwargs: 1 / 0)
    with pytest.warns(UserWarning, match="W&B stopped logging"):
        logger.log_metrics({"val/acc1": 0.6}, step=1)
    logger.log_metrics({"val/acc1": 0.7}, step=2)
    logger.record_summary({"epochs": 1})
    logger.finalize("success")


PUBLIC = sorted(
    name for name, _ in inspect_module.getmembers(ResilientWandbLogger, callable) if not name.startswith("_")
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("failing", ["arguments", "the run", "even a run that does nothing"])
@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_method_ends_the_training(failing, name, wandb_environment, tmp_path, monkeypatch):
    logger = ResilientWandbLogger(save_dir=str(tmp_path), log_model="all")
    assert {"log_image", "log_table", "watch", "after_save_checkpoint", "finalize", "end"} <= set(PUBLIC)

    class Broken:
        def __getattr__(self, _):
            raise OSError("the folder of media has vanished")

    if failing == "even a run that does nothing":
        monkeypatch.setattr(wandb, "init", lambda *_, **__: 1 / 0)
    else:
        monkeypatch.setattr(ResilientWandbLogger, "_start", lambda _: Broken())
    method = getattr(logger, name)
    required = [
        parameter
        for parameter in inspect_module.signature(method).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    sensible = {"metrics": {"val/acc1": 0.5}, "id": None, "tags": [], "params": {}, "config": {}, "summary": {}}
    given = [sensible.get(one.name, object()) if failing != "arguments" else object() for one in required]
    if failing == "arguments" and name == "fill_in":
        given = ["group", [], "name", None]
    method(*given)
    logger.log_metrics({"val/acc1": 0.5}, step=1)
    logger.experiment.log({})


def test_a_run_that_cannot_start_at_all_trains(wandb_environment, tmp_path, monkeypatch):
    monkeypatch.setattr("experiment.wandb_logger.choose_mode", lambda *_: 1 / 0)
    logger = ResilientWandbLogger(save_dir=str(tmp_path))
    with pytest.warns(UserWarning, match="W&B is off, it could not start"):
        logger.experiment.log({})


def test_only_rank_zero_talks(wandb_environment, tmp_path, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", 1)
    logger = ResilientWandbLogger(save_dir=str(tmp_path), offline=True)
    logger.log_metrics({"val/acc1": 0.5}, step=0)
    logger.record_config({"a": 1})
    logger.finalize("success")
    assert not (tmp_path / "wandb").exists()


def log_and_be_killed(folder: Path) -> None:
    logger = ResilientWandbLogger(save_dir=str(folder), offline=True)
    logger.log_metrics({"val/acc1": 0.5}, step=0)
    while not any(file.stat().st_size for file in folder.glob("wandb/*/*.wandb")):
        time.sleep(0.1)
    time.sleep(5)  # two flushes
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_killed_run_leaves_its_metrics(tmp_path):
    # In a process that does not know the W&B service which earlier tests have used and ended.
    codes = run_on_ranks(log_and_be_killed, tmp_path, ranks=1, log=tmp_path / "log")
    assert codes == [-signal.SIGKILL], (tmp_path / "log").read_text()
    assert '"val/acc1":0.5' in inspect(tmp_path)
