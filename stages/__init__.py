"""The pipeline: four stages, and the packages they build on.

Stages: prepare_data, train, evaluate, report. Each runs as ``python -m stages.<stage>``, and the
whole pipeline as ``python -m stages``. CONTRIBUTING.md has a map.
"""

import os
import sys
from importlib.util import find_spec

# Settings by which libraries choose other kernels, and so give other last digits.
_KERNEL_CHOICES = ("ATEN_", "CUBLAS_", "CUDNN_", "DNNL_", "MKL_", "NVIDIA_TF32_", "ONEDNN_")
for _name in [x for x in os.environ if x.startswith(_KERNEL_CHOICES)]:
    del os.environ[_name]
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # the only way to the same bits on every run
# Threads that wait for one another sleep: spinning, they would take the core the last one needs.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

if sys.argv[0] == "-m":  # Python is about to run a stage: be ready before its slow imports
    if missing := [name for name in ("filelock", "pydantic", "torch") if not find_spec(name)]:
        sys.exit(f"{sys.executable} has no {', '.join(missing)}; activate .venv (see README.md)")

    from stages.core.process import prepare_process

    prepare_process()
