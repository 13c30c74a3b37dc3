import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import closing

import pytest

from stages.core.progress import Progress
from tests.conftest import ROOT


def _show(num_done: int) -> None:
    """Go through the rest of two epochs in halves."""
    with closing(Progress("gn epoch", 2, num_done)) as progress:
        for number in range(num_done, 2):
            progress.move(0.5)
            progress.end(f"loss 0.{number}, accuracy 87.50%")


def _screen(output: str) -> list[str]:
    """Return the lines that a terminal shows after ``output``, without those that are empty."""
    lines, column = [""], 0
    for character in output:
        if character == "\n":
            lines.append("")
        elif character == "\r":
            column = 0
        else:
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("num_done", [0, 1, 2])
def test_scores_stay_above_a_bar_that_fits(num_done: int) -> None:
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    command = f"from tests.test_progress import _show; _show({num_done})"
    run = [sys.executable, "-c", command]
    subprocess.run(run, cwd=ROOT, stdout=terminal, stderr=terminal, check=True)
    os.close(terminal)
    *lines, bar = _screen(os.read(master, 100_000).decode())
    os.close(master)
    assert lines == [
        f"gn epoch {number + 1}/2: loss 0.{number}, accuracy 87.50%, 0:00:00 left"
        for number in range(num_done, 2)
    ]
    assert re.fullmatch(r"gn epoch: 100% \|█+\| \d\d:\d\d done, (\?|\d\d:\d\d) left", bar), bar
    assert len(bar) <= 80


def test_only_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _show(num_done=1)
    assert capsys.readouterr() == (
        "gn epoch 2/2: loss 0.1, accuracy 87.50%, 0:00:00 left\n",
        "",
    )
