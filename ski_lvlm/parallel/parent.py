"""Death of a process together with the one that started it."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def ending_with(parent: int) -> Callable[[], None]:
    """Return a function that lets the system kill the calling process when `parent` ends.

    Its locks are then released, and it does not write beside the next run. Call it in the child. Only Linux does this.
    """
    # Loaded here and not in the function, which runs between a fork and the new program.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def in_child() -> None:
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent was killed before the line above
                os._exit(1)

    return in_child
