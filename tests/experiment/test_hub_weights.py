"""Weights of the Hugging Face Hub, from a server on this machine that answers as the Hub does."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save
from torchvision import models

from experiment.start_weights import load_start_weights
from lightning_modules import ResNet

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Files by OWNER/NAME/FILE, and the requests that came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if body and rest:
            self.server.asked.append(f"{repository}@{revision}/{file}")
        content = self.server.files.get(f"{repository}/{file}")
        if content is None:
            known = any(name.startswith(f"{repository}/") for name in self.server.files)
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()


def loaded(source: str, **arguments: Any) -> ResNet:
    network = ResNet(**{"depth": 18, "weights": source} | arguments)
    load_start_weights(network)
    return network


@pytest.mark.slow(3)
def test_another_librarys_weights_are_downloaded_once(hub: Hub) -> None:
    state = models.resnet18().state_dict()
    hub.files = {"timm/resnet18/model.safetensors": save(state), "timm/resnet18/config.json": b'{"architecture": "x"}'}
    network = loaded("hf://timm/resnet18")
    assert torch.equal(network.head.weight, state["fc.weight"])  # type: ignore[arg-type]
    assert hub.asked == ["timm/resnet18@main/model.safetensors", "timm/resnet18@main/config.json"]
    loaded("hf://timm/resnet18")
    assert len(hub.asked) == 2


@pytest.mark.slow(3)
def test_a_file_and_a_revision_may_be_named(hub: Hub, tmp_path: Path) -> None:
    torch.save({"state_dict": models.resnet18().state_dict()}, tmp_path / "w.pth")
    hub.files = {"me/nets/old/w.pth": (tmp_path / "w.pth").read_bytes()}
    loaded("hf://me/nets@v2/old/w.pth")
    assert hub.asked == ["me/nets@v2/old/w.pth"]


def test_an_exported_network_knows_what_it_is(hub: Hub) -> None:
    hub.files = {
        "me/small/model.safetensors": save(ResNet(8, "cifar").state_dict()),
        "me/small/config.json": b'{"architecture": "ResNet-8", "arguments": {"depth": 8, "variant": "cifar"}}',
    }
    loaded("hf://me/small", depth=8, variant="cifar")
    with pytest.raises(ValueError, match="hf://me/small holds the weights of ResNet-8, not of ResNet-14"):
        loaded("hf://me/small", depth=14, variant="cifar")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf://resnet", "hf://resnet names no repository: give hf://OWNER/NAME, such as"),
        ("hf://me/none", r"hf://me/none could not be downloaded \(.*\): check the name and the network"),
        ("hf://me/bare", "hf://me/bare holds no model.safetensors: name a file that it has, as hf://me/bare/FILE"),
        ("hf://me/ba re", r"could not be downloaded \(Repo id must use"),
        ("hf://me/bare/text.txt", "text.txt.* is "),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(hub: Hub, source: str, message: str) -> None:
    hub.files = {"me/bare/text.txt": b"not weights"}
    with pytest.raises(ValueError, match=message) as caught:
        loaded(source)
    assert "\n" not in str(caught.value)


def test_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"hf://me/net could not be downloaded \(.*elsewhere and give the file"):
        loaded("hf://me/net")
