"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """What was got, what is needed, what to do: one line that a command prints before it exits."""
