"""The pipeline: four stages, and a package for each thing that they stand on.

Stages: prepare_data, train, evaluate, report. Each runs as ``python -m stages.<stage>``, and the
whole pipeline as ``python -m stages``. CONTRIBUTING.md has a map.
"""

import os
import sys
from importlib.util import find_spec

# By these settings libraries choose other kernels, and so other last digits.
for _name in [x for x in os.environ if x.startswith(("ATEN_", "DNNL_", "MKL_", "ONEDNN_"))]:
    del os.environ[_name]
# Threads that wait for one another sleep: spinning, they take the core that the last one needs.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

if sys.argv[0] == "-m":  # Python is about to run a stage: be ready before its slow imports
    if missing := [name for name in ("filelock", "pydantic", "torch") if not find_spec(name)]:
        sys.exit(f"{sys.executable} has no {', '.join(missing)}; activate .venv (see README.md)")

    from stages.core.process import prepare_process

    prepare_process()
