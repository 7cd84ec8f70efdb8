"""The command `hostsdk` as a process of its own."""

from __future__ import annotations

import gc
import signal
import sys

from .shelf import Shelf


def start() -> None:
    """Do what the command line says, and end with a status. `hostsdk run FILE ...` without options, as a program is run
    that is used every day, needs no reader of options: importing one takes as long as starting Python."""
    # As long as there is nothing to clean up, Ctrl-C ends it like any other program, without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    match sys.argv[1:]:
        case ["run", file, *args] if not file.startswith("-"):
            gc.disable()  # until the run begins: importing makes hardly any garbage
            shelf = Shelf(f"{__spec__.cached}.run")
            sys.meta_path.insert(0, shelf)
            from .run_plan import Plan
            from .run_process import run

            status = run(Plan(file, tuple(args)))
            shelf.keep()
            sys.exit(status)
        case _:
            from .main import main

            main(prog_name="hostsdk")
