"""The progress of many jobs: a bar on a terminal, otherwise one line per job."""

import sys
import time
from datetime import timedelta

from tqdm import tqdm


class Progress:
    """Shows how many of ``total`` jobs are done, run and failed, and the time left."""

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._done = total, 0
        self._started_at = time.monotonic()
        self._bar = tqdm(total=total, unit=f" {unit}", disable=not sys.stderr.isatty())

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def end(self, job: str, running: int, failed: int) -> None:
        """Count the ``job`` of that name as done; others run now, or have failed."""
        self._done += 1
        state = f"{running} running, {failed} failed"
        if not self._bar.disable:
            self._bar.set_postfix_str(state, refresh=False)
            self._bar.update()
            return
        seconds = (time.monotonic() - self._started_at) / self._done * (self._total - self._done)
        left = timedelta(seconds=round(seconds))
        print(f"{self._done} of {self._total} done, {state}, {left} left: {job}", flush=True)
