"""The pipeline: one module per stage, and what the stages share in modules of one idea each.

Stages: prepare_data, train, evaluate, report. Each runs as ``python -m stages.<stage>``.
"""

import sys
from importlib.util import find_spec

if sys.argv[0] == "-m":  # Python is about to run a stage: be ready before its slow imports
    if missing := [name for name in ("filelock", "pydantic", "torch") if not find_spec(name)]:
        sys.exit(f"{sys.executable} has no {', '.join(missing)}; activate .venv (see README.md)")

    from stages.core.process import prepare_process

    prepare_process()
