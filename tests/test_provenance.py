import os
import re
import shutil
import subprocess

import pytest

from stages.core.machine import describe_processor


@pytest.mark.skipif(not shutil.which("lscpu"), reason="lscpu is not there to compare with")
def test_processor_is_the_one_that_lscpu_names() -> None:
    environment = os.environ | {"LC_ALL": "C"}
    out = subprocess.run(["lscpu"], env=environment, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^ *(Model name|CPU family|Model): +(.+)$", out, re.MULTILINE))
    name, family, model = fields["Model name"], fields["CPU family"], fields["Model"]
    assert describe_processor() == f"{name}, cpu family {family}, model {model}"
