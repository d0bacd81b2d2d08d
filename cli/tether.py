"""A child process that never outlives its parent, not even after kill -9 of the parent.

Linux only: the kernel is asked to kill the child when the thread that started it ends. Elsewhere
children of a killed parent go on, and the locks they hold refuse a second start by name.
"""

import os
import sys
from collections.abc import Sequence

# Runs in the child before the command replaces it. Not `preexec_fn`: that runs Python between fork
# and exec, which may deadlock where the parent has threads. A bare interpreter takes 20 ms.
_ASK = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1  # prctl(2); kept across exec
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
if os.getppid() != int(sys.argv[1]):  # it ended before we asked
    sys.exit("the parent has ended")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(sys.argv[2] + ": " + error.strerror)
"""


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs a command as a child that ends with this process.

    To be started by this process itself, from a thread that lives as long: the main one.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _ASK, str(os.getpid()), *command]
