"""The pipeline: four stages, and the packages they build on.

Stages: prepare_data, train, evaluate, report. Each runs as ``python -m stages.<stage>``, and the
whole pipeline as ``python -m stages``. CONTRIBUTING.md has a map.
"""

import sys
from importlib.util import find_spec

from stages.core.kernels import choose_kernels

choose_kernels()

if sys.argv[0] == "-m":  # Python is about to run a stage: be ready before its slow imports
    if missing := [name for name in ("filelock", "pydantic", "torch") if not find_spec(name)]:
        sys.exit(f"{sys.executable} has no {', '.join(missing)}; activate .venv (see README.md)")

    from stages.core.process import prepare_process

    prepare_process()
