"""What `python stages/train.py` finds in place of this package: Python looks beside the script."""

import sys

sys.exit("a stage runs as a module, in the project's folder: `python -m stages.train gn`")
