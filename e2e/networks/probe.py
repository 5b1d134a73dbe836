# Listens in, and connects from, the network namespaces of many processes at once.
# stdin: {"listen": [[pid, port]…], "probes": [[pid, address, port]…], "seconds": S}; stdout: one 0 or 1 for each probe.
import ctypes
import errno
import json
import os
import resource
import select
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
BATCH = 500


def socket_in(pid):
    with open(f"/proc/{pid}/ns/net") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    made = socket.socket()
    made.setblocking(False)
    return made


task = json.load(sys.stdin)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listeners = []
for pid, port in task["listen"]:
    listener = socket_in(pid)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(512)
    listeners.append(listener)

results = []
for first in range(0, len(task["probes"]), BATCH):
    batch = task["probes"][first : first + BATCH]
    poll = select.poll()
    waiting = {}
    reached = [0] * len(batch)
    for index, (pid, address, port) in enumerate(batch):
        connecting = socket_in(pid)
        error = connecting.connect_ex((address, port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        waiting[connecting.fileno()] = (index, connecting)
        poll.register(connecting.fileno(), select.POLLOUT)
    end = time.monotonic() + task["seconds"]
    while waiting and time.monotonic() < end:
        for descriptor, _event in poll.poll(max(0, (end - time.monotonic()) * 1000)):
            index, connecting = waiting.pop(descriptor)
            poll.unregister(descriptor)
            reached[index] = 1 if connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 else 0
            connecting.close()
    for _index, connecting in waiting.values():
        connecting.close()
    for listener in listeners:
        try:
            while True:
                listener.accept()[0].close()
        except BlockingIOError:
            pass
    results += reached
print("".join(map(str, results)))
