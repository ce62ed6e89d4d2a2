"""`tsrnet VERB` and `python -m tsrnet VERB`: the commands of the package under one name."""

from __future__ import annotations

import difflib
import importlib
import runpy
import signal
import sys

VERBS = (
    "train",
    "detect",
    "evaluate",
    "extract",
    "import_features",
    "check",
    "compose",
    "review",
    "score",
    "export",
    "import_annotations",
    "publish",
    "reproduce",
    "report",
    "stages",
    "dashboard",
)
"""The modules of the package that are commands."""


def main() -> None:
    """Run `python -m tsrnet.VERB` with the arguments that follow the verb.

    The module becomes `__main__`: Hydra, its launchers and worker processes look for the command there.
    """
    verb, *arguments = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `tsrnet | head`
        print(listing())
        return
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS)
        hint = f"did you mean {' or '.join(near)}" if near else f"need one of {', '.join(VERBS)}"
        print(f"error: {verb}: is not a command of tsrnet; {hint}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    runpy.run_module(f"tsrnet.{verb}", run_name="__main__", alter_sys=True)


def listing() -> str:
    """One line for each command: the first line of the docstring of its module."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}} {_first_line(verb)}" for verb in VERBS]
    usage = "tsrnet VERB [key=value ...]   (the same as python -m tsrnet.VERB)"
    return "\n".join([usage, "", *lines, "", "tsrnet VERB --help shows the keys of a command."])


def _first_line(verb: str) -> str:
    docstring = importlib.import_module(f"tsrnet.{verb}").__doc__ or ""
    return docstring.partition("\n")[0].partition(": ")[2]


if __name__ == "__main__":
    main()
