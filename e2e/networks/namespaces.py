# Enters network namespaces by their paths: a socket stays in the one in which it was made, so one program has both ends.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(path):
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns {path}")
    os.close(namespace)
