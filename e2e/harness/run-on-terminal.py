# Runs a command on a terminal and types at it. Usage: run-on-terminal.py ROWS COLUMNS SCRIPT COMMAND…
# SCRIPT is JSON: a list of [wait-for-text, then-type] or [wait-for-text, [rows, columns]]. Prints JSON: output, status.
import fcntl, json, os, pty, select, signal, struct, sys, termios, time

rows, columns, script, command = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
pid, terminal = pty.fork()
if pid == 0:
    time.sleep(0.05)  # until the size is set
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
output, seen, end = b"", 0, time.time() + 20
while time.time() < end:
    ready, _, _ = select.select([terminal], [], [], 0.05)
    if ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    while script and script[0][0].encode() in output[seen:]:
        wanted, action = script.pop(0)
        seen += output[seen:].index(wanted.encode()) + len(wanted)
        time.sleep(0.15)
        if isinstance(action, list):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", action[0], action[1], 0, 0))
        else:
            os.write(terminal, action.encode())
else:
    os.kill(pid, signal.SIGKILL)
_, status = os.waitpid(pid, 0)
print(json.dumps({"output": output.decode(errors="replace"), "status": os.waitstatus_to_exitcode(status), "left": script}))
