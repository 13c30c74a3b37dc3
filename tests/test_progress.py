import os
import pty
import subprocess
import sys
import termios

import pytest

from stages.model.history import Epoch
from stages.model.scoring import Score
from stages.training.progress import Progress
from tests.conftest import ROOT

_SCORE = Score(0.5, 0.875)
_EPOCHS = [Epoch(number, 0.05, _SCORE, _SCORE, "test", _SCORE) for number in (1, 2)]


def _show(num_done: int) -> None:
    """Go through the rest of two epochs of ten images."""
    with Progress("gn", 2, 10, _EPOCHS[:num_done]) as progress:
        for epoch in _EPOCHS[num_done:]:
            progress.add_images(10)
            progress.end_epoch(epoch)


@pytest.mark.parametrize(("num_done", "named"), [(0, {"1/2", "2/2"}), (1, {"2/2"}), (2, {"2/2"})])
def test_bar_names_the_epoch_in_progress(num_done: int, named: set[str]) -> None:
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 200))
    command = f"from tests.test_progress import _show; _show({num_done})"
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, stderr=terminal, check=True)
    os.close(terminal)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert {part.split(":")[0] for part in shown.split("gn epoch ")[1:]} == named
    assert ("accuracy 87.50%" in shown) == (num_done < 2)


def test_line_an_epoch_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _show(num_done=1)
    assert capsys.readouterr().out.startswith("gn epoch 2/2: test loss 0.5000, accuracy 87.50%, ")
