"""The pipeline: one module per stage, and what the stages share in modules of one idea each.

Stages: prepare_data, train, evaluate, report. Each runs as ``python -m stages.<stage>``.
"""

import sys

if sys.argv[0] == "-m":  # Python is about to run a stage: be ready before its slow imports
    from stages.command import prepare_process

    prepare_process()
