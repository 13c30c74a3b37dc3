"""What of the machine decides a training, and what must not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.errors import PipelineError
from stages.core.machine import count_cores, count_workers, describe_processor, set_up_machine
from stages.core.params import Params
from tests.conftest import ROOT, change, new_project

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


def test_the_environment_changes_no_bit_of_a_training(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(tmp_path_factory.mktemp("kernels"))
    project.make_small(epochs=1)
    project.set_param("training_images", 1_000)
    project.run("python", "-m", "stages.prepare_data")
    checkpoint = project.folder / "models/gn.safetensors"
    checkpoints = []
    for settings in ({}, KERNELS):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        shutil.rmtree(project.folder / ".resume", ignore_errors=True)
        project.run("python", "-m", "stages.train", "gn")
        checkpoints.append(checkpoint.read_bytes())
    assert checkpoints[0] == checkpoints[1]


HAS_AVX2 = "avx2" in Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else False


@pytest.mark.skipif(not HAS_AVX2, reason="needs a CPU with AVX2")
@pytest.mark.parametrize(("first", "kernels"), [("stages", "avx2"), ("torch", None)])
def test_the_kernels_are_avx2_if_nothing_imports_torch_before(
    first: str, kernels: str | None
) -> None:
    """ATen's own word for it, and a warning where it came too late (on a CPU with more)."""
    script = (
        f"import {first}, stages, torch; from stages.core.machine import *; "
        "from stages.core.params import load_params; set_up_machine(load_params().train); "
        "print(torch.backends.cpu.get_cpu_capability(), describe_kernels(), sep='|')"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *warning, (capability, told) = (line.split("|") for line in run.stdout.splitlines())
    assert bool(warning) == (capability != "AVX2")
    assert told == "avx2" if capability == "AVX2" else describe_processor() in told
    if kernels:
        assert (capability, told) == ("AVX2", kernels)


def test_more_threads_than_cores_are_refused(params: Params) -> None:
    cores = count_cores()
    many = change(params, train__threads=cores + 1)
    with pytest.raises(PipelineError, match=rf"train\.threads is {cores + 1}, .* most {cores}$"):
        set_up_machine(many.train)


@pytest.mark.parametrize(
    ("files", "cores"),  # CPU microseconds, and in how many of the clock
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_containers_quota_counts_as_its_cores(files: dict[str, str], cores: int | None) -> None:
    """In a mount namespace of its own, where the files of control groups can be others."""
    script = (
        "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/cpu && cd /sys/fs/cgroup "
        + "".join(f"&& echo {text} > {name} " for name, text in files.items())
        + f"&& cd '{ROOT}' && '{sys.executable}' -c "
        "'from stages.core.machine import count_cores; print(count_cores())'"
    )
    run = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip("needs the right to make a mount namespace")
    assert int(run.stdout) == min(cores or count_cores(), count_cores())


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
