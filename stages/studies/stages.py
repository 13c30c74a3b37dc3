"""What a script of this folder finds in place of the package, as beside the stages."""

import sys

sys.exit("a study runs as a module, in the project's folder: `python -m stages.studies minute`")
