"""The files of configs/cluster that need no cluster to be tried."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.runs import ROOT, environment, words
from tests.forked import run_main_on_ranks

CLUSTER = ROOT / "configs" / "cluster"


@pytest.mark.slow
def test_two_ranks_train_with_all_overlays_and_again_from_the_dumped_config(tmp_path: Path) -> None:
    overlays = ["--config", "configs/cluster/bf16_gradients.yaml", "--config", "configs/cluster/large_batch.yaml"]
    command = [str(ROOT / word) if word.startswith("configs/") else word for word in words(4)]
    command += [str(ROOT / word) if word.startswith("configs/") else word for word in overlays]
    command += ["--trainer.devices", "2", "--test_at_end", "false"]
    again = ["fit", "--config", str(tmp_path / "run" / "config.yaml")]
    logs = []
    for run, run_words in (("run", command), ("again", again)):
        log = tmp_path / f"{run}.log"
        codes = run_main_on_ranks([*run_words, "--run_dir", str(tmp_path / run)], ranks=2, log=log)
        logs.append(log.read_text())
        assert codes == [0, 0], logs[-1][-2000:]
    assert "DDPScaling: 2 processes x 32 images x 1 accumulated = global batch 64; the recipe's is 128" in logs[0]
    reports = [json.loads((tmp_path / run / "scaling.json").read_text()) for run in ("run", "again")]
    assert [report["world_size"] for report in reports] == [2, 2]
    strategy = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["strategy"]["init_args"]
    assert strategy["gradient_as_bucket_view"]
    assert strategy["ddp_comm_hook"].endswith("bf16_compress_hook")


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sbatch"])
def test_a_script_is_bash(script: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    subprocess.run(["bash", "-n", str(CLUSTER / script)], check=True)


def test_torchrun_says_what_it_misses() -> None:
    command = ["bash", str(CLUSTER / "torchrun.sh"), "fit"]
    done = subprocess.run(command, env=environment(HEAD="10.0.0.1"), check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "NODES: is the number of nodes" in done.stderr


def test_the_kubernetes_job_is_one_that_the_operator_takes() -> None:
    """What PyTorchJob (kubeflow.org/v1, training operator 1.9.0) requires; its whole schema was checked by hand."""
    job = yaml.safe_load((CLUSTER / "pytorchjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert re.fullmatch(r"[a-z0-9-]{1,40}", job["metadata"]["name"])
    assert job["spec"]["runPolicy"].keys() <= {"cleanPodPolicy", "backoffLimit", "ttlSecondsAfterFinished"}
    replicas = job["spec"]["pytorchReplicaSpecs"]
    assert replicas.keys() == {"Master", "Worker"}
    assert replicas["Master"]["replicas"] == 1
    for replica in replicas.values():
        assert replica["restartPolicy"] in {"Always", "OnFailure", "Never", "ExitCode"}
        pod = replica["template"]["spec"]
        (container,) = pod["containers"]
        assert container["name"] == "pytorch"
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        assert int(variables["NODES"]) == sum(spec["replicas"] for spec in replicas.values())
        assert int(variables["DEVICES"]) == container["resources"]["limits"]["nvidia.com/gpu"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        for config in re.findall(r"configs/\S+", container["args"][0]):
            assert (ROOT / config).is_file()
