"""Errors that a user can cause: one line that names the thing, its value and what to do."""


class PipelineError(Exception):
    """An input that is missing, damaged or foreign, or a machine that cannot do the work."""

    status = 1  # the exit status of the stage


class ParamsError(PipelineError):
    """params.yaml, or a command line, asks for something that is not allowed."""

    status = 2
