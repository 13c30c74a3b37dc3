"""Which kernels numpy's and torch's libraries compute by: the same ones on every CPU that has them.

Called before either of them is imported, which is when they read this.
"""

import os
import re
from pathlib import Path

# Settings by which libraries choose other kernels, and so give other last digits.
_CHOICES = (
    *("ATEN_", "CUBLAS_", "CUDNN_", "DNNL_", "MKL_", "NPY_", "NVIDIA_TF32_", "ONEDNN_"),
    "OPENBLAS_",
)
# The newest kernels that every x86-64 CPU of the last ten years has, in each library that would
# choose by the CPU: so all of them add up in the same order, and give the same bytes.
PORTABLE = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",  # MKL takes AVX2 for an order on CPUs of its own maker only
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}


def choose_kernels() -> None:
    """Have the libraries compute alike, whatever the environment says.

    ATen takes "avx2" without looking whether the CPU has it, so this looks.
    """
    for name in [x for x in os.environ if x.startswith(_CHOICES)]:
        del os.environ[name]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
        if flags and {"lm", "avx2", "fma"} <= set(flags[1].split()):  # lm: 64 bits
            os.environ.update(PORTABLE)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # the only way to the same bits on every run
    # Threads that wait for one another sleep: spinning, they would take the core the last one
    # needs. In lower case, as OpenMP compares: a Turkish locale gives I another lower case than i.
    os.environ["OMP_WAIT_POLICY"] = "passive"
