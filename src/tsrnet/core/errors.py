"""The exceptions that end a command with one line."""


class UserError(Exception):
    """What was got, what is needed, what to do: one line that a command prints before it exits."""

    exit_code = 2


class FailedError(UserError):
    """The command did what it could, and too much of it failed."""

    exit_code = 1
