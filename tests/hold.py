"""Run a Python script and hold it when it is about to write a file for the nth time, so that a test can kill it there.

python tests/hold.py MARK NAME TIMES SCRIPT [arguments]

MARK is a file that says that the script has come so far. A file is written by opening it to write or append, or by
renaming another one to it.
"""

import os
import runpy
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path

mark, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
written, lock = 0, threading.Lock()


def hold(event: str, arguments: tuple) -> None:
    global written
    if event == "os.rename":
        path = arguments[1]
    elif event == "open" and isinstance(arguments[1], str) and not arguments[1].startswith("r"):
        path = arguments[0]
    else:
        return
    if isinstance(path, str | os.PathLike) and fnmatch(Path(path).name, name):
        with lock:
            written += 1
            if written == times:
                os.close(os.open(mark, os.O_CREAT))
            if written >= times:
                threading.Event().wait()


if __name__ == "__main__":
    script = Path(sys.argv[4])
    sys.argv = sys.argv[4:]
    sys.path[0] = str(script.parent)
    sys.addaudithook(hold)
    runpy.run_path(str(script), run_name="__main__")
