"""Errors that a user can cause, each with a line that names the thing, its value and what to do."""


class PipelineError(Exception):
    """An input is missing, damaged or of another kind, or the machine cannot do the work."""

    status = 1  # the exit status of the stage


class DivergedError(PipelineError):
    """The loss of a training is no longer finite, as of this epoch and step (from 1)."""

    def __init__(self, message: str, epoch: int = 0, step: int = 0) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step


class ParamsError(PipelineError):
    """params.yaml or a command line asks for something that is not allowed."""

    status = 2
