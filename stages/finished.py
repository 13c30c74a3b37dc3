"""States of finished trainings, kept until DVC has recorded what the trainings gave.

DVC records a stage's outputs when the stage's process has ended. Killed in between, it removes
them at its next run, and the state gives them again without a training.
"""

from pathlib import Path

# DVC removes a stage's outputs before it runs the stage; this folder it ignores.
STATES = Path(".resume")


def finished_path(state: Path) -> Path:
    """Return where the file ``state`` goes when its training is finished."""
    return state.with_suffix(".finished")


def forget_finished_trainings() -> None:
    """Remove the states of trainings whose outputs DVC has recorded: call it after their stages."""
    for path in STATES.glob("*.finished"):
        path.unlink(missing_ok=True)
