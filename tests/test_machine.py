"""What of the machine decides a training, and what must not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.core.errors import PipelineError
from stages.core.machine import (
    count_cores,
    count_workers,
    describe_kernels,
    describe_processor,
    set_up_machine,
)
from stages.core.params import Params
from tests.conftest import ROOT, Project, change

# Each makes a library choose other kernels than it would by itself.
KERNELS = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "AVX512",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "OPENBLAS_CORETYPE": "Prescott",
    "CUBLAS_WORKSPACE_CONFIG": ":0:0",
    "NVIDIA_TF32_OVERRIDE": "1",
}


def test_a_training_is_the_same_alone_and_in_any_environment(
    finished: Project, tmp_path: Path
) -> None:
    """As where DVC ran it, beside others if there are cores for them."""
    project = finished.copy(tmp_path / "project")
    checkpoint = project.folder / "models/gn.safetensors"
    checkpoint.unlink()
    variables = (f"{name}={value}" for name, value in KERNELS.items())
    project.run("env", *variables, "python", "-m", "stages.train", "gn")
    assert checkpoint.read_bytes() == (finished.folder / "models/gn.safetensors").read_bytes()


HAS_AVX2 = "avx2" in Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else False


@pytest.mark.skipif(not HAS_AVX2, reason="needs a CPU with AVX2")
def test_the_kernels_are_avx2_if_nothing_imports_torch_before() -> None:
    """ATen's own word for it, and a warning where it came too late (on a CPU with more)."""
    assert (torch.backends.cpu.get_cpu_capability(), describe_kernels()) == ("AVX2", "avx2")
    script = (
        "import torch, stages; from stages.core.machine import *; "
        "from stages.core.params import load_params; set_up_machine(load_params().train); "
        "print(torch.backends.cpu.get_cpu_capability(), describe_kernels(), sep='|')"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *warning, (capability, told) = (line.split("|") for line in run.stdout.splitlines())
    assert bool(warning) == (capability != "AVX2")
    assert told == "avx2" if capability == "AVX2" else describe_processor() in told


def test_more_threads_than_cores_are_refused(params: Params) -> None:
    cores = count_cores()
    many = change(params, train__threads=cores + 1)
    with pytest.raises(PipelineError, match=rf"train\.threads is {cores + 1}, .* most {cores}$"):
        set_up_machine(many.train)


def test_a_containers_quota_counts_as_its_cores() -> None:
    """In a mount namespace of its own, where the files of control groups can be others."""
    quotas = [  # CPU microseconds, and in how many of the clock
        {"cpu.max": "100000 100000"},
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
    ]
    code = f"""
import pathlib
from stages.core.machine import count_cores
for quota in {quotas}:
    for name, text in quota.items():
        path = pathlib.Path("/sys/fs/cgroup", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    print(count_cores())
    for name in quota:
        pathlib.Path("/sys/fs/cgroup", name).unlink()
"""
    command = f'mount -t tmpfs none /sys/fs/cgroup && "{sys.executable}" -c "$0"'
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, code], cwd=ROOT, capture_output=True, text=True
    )
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip("needs the right to make a mount namespace")
    assert list(map(int, run.stdout.split())) == [1, 1, count_cores()]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_process_that_may_use_one_core_counts_one() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_workers_have_room(threads: int, params: Params) -> None:
    train = change(params, train__threads=threads).train
    for trainings in (1, 3, 60):
        workers = count_workers(train, trainings)
        assert 1 <= workers <= trainings
        assert workers * threads < 2 * max(count_cores(), threads)


@pytest.mark.skipif(not shutil.which("lscpu"), reason="lscpu is not there to compare with")
def test_processor_is_the_one_that_lscpu_names() -> None:
    environment = os.environ | {"LC_ALL": "C"}
    out = subprocess.run(["lscpu"], env=environment, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^ *(Model name|CPU family|Model): +(.+)$", out, re.MULTILINE))
    name, family, model = fields["Model name"], fields["CPU family"], fields["Model"]
    assert describe_processor() == f"{name}, cpu family {family}, model {model}"
