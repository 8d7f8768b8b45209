"""Hold a Python process when it is about to write a file for the nth time, so that a test can kill it there.

Python imports this at its start where PYTHONPATH names the folder. HOLD is a JSON list: a file that says that the
process has come so far, a pattern of the file's name, and n. A file is written by opening it to write or append, or by
renaming another one to it. Child processes are held too, each at its own nth time.
"""

import json
import os
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path

mark, name, times = json.loads(os.environ["HOLD"])
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
                threading.Event().wait(1800)  # whoever kills it does so long before


sys.addaudithook(hold)
