#!/usr/bin/env python3
"""Tests of tsd-archive, built with the sanitizers: a tree there and back, layers, archives that climb, and damaged ones.
Usage: archive-test.py PROGRAM (as root: the program locks itself into a root)."""
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
SANITIZER = 99
# Leaks are the kernel's to clean up in a program that ends; the symbolizer could not be executed anyway.
ENVIRONMENT = {"ASAN_OPTIONS": f"exitcode={SANITIZER}:detect_leaks=0:symbolize=0", "UBSAN_OPTIONS": f"exitcode={SANITIZER}"}
MUTATIONS = 400
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"archive: {what}")


def archive(root, words, place=None, data=b""):
    """Runs the program with its two descriptors; its result, and what it wrote."""
    descriptors = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (root, place or root)]

    def arrange():
        high = [os.dup2(descriptor, 200 + index) for index, descriptor in enumerate(descriptors)]
        for index, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + index)

    done = subprocess.run([PROGRAM, *words], input=data, capture_output=True, env=ENVIRONMENT, preexec_fn=arrange, close_fds=False)
    for descriptor in descriptors:
        os.close(descriptor)
    check(done.returncode != SANITIZER, f"{words}: {done.stderr.decode()}")
    return done


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, more in entries:
            info = tarfile.TarInfo(name)
            for key, value in more.items():
                setattr(info, key, value)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def there_and_back(directory):
    source, target = os.path.join(directory, "source"), os.path.join(directory, "target")
    os.makedirs(os.path.join(source, "sub", "x" * 200))
    os.mkdir(target)
    for name, text in (("file", b"one"), ("sub/deep", b"two" * 50000), (os.fsencode("odd\udcff").decode("utf-8", "surrogateescape"), b"3")):
        with open(os.path.join(source, name), "wb") as file:
            file.write(text)
    os.link(os.path.join(source, "file"), os.path.join(source, "hard"))
    os.symlink("/etc/passwd", os.path.join(source, "link"))
    os.mkfifo(os.path.join(source, "fifo"))
    os.setxattr(os.path.join(source, "file"), "user.note", b"\xff\x00bytes")
    packed = archive(source, ["pack-contents"])
    check(packed.returncode == 0, packed.stderr)
    unpacked = archive(target, ["unpack", "/"], data=packed.stdout)
    check(unpacked.returncode == 0, unpacked.stderr)
    check(sorted(os.listdir(target)) == sorted(os.listdir(source)), "names differ")
    check(os.getxattr(os.path.join(target, "file"), "user.note") == b"\xff\x00bytes", "attribute differs")
    check(os.stat(os.path.join(target, "file")).st_nlink == 2, "hard link lost")
    check(os.readlink(os.path.join(target, "link")) == "/etc/passwd", "link differs")
    one = archive(source, ["pack", "sub", "called"])
    names = tarfile.open(fileobj=io.BytesIO(one.stdout)).getnames()
    check(names[0] == "called" and "called/deep" in names, names)
    return packed.stdout


def layers(directory):
    root = os.path.join(directory, "layer")
    os.mkdir(root)
    data = tar_of([
        ("d/", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
        ("d/.wh..wh..opq", b"", {}),
        ("d/new", b"n", {"uid": 7}),
        (".wh.gone", b"", {}),
        ("../../climbs", b"c", {}),
    ])
    done = archive(root, ["--maximum", "100", "unpack-layer"], data=data)
    check(done.returncode == 0, done.stderr)
    check(json.loads(done.stdout) == {"size": 2, "opaque": ["d"]}, done.stdout)
    check(os.stat(os.path.join(root, "gone")).st_rdev == 0, "no whiteout")
    check(os.path.exists(os.path.join(root, "climbs")), "a climbing name must stay inside")
    check(not os.path.exists(os.path.join(directory, "climbs")), "a name climbed out")
    too_large = archive(root, ["--maximum", "3", "unpack-layer"], data=tar_of([("big", b"12345", {})]))
    check(too_large.returncode == 1 and b"larger than 3 bytes" in too_large.stderr, too_large.stderr)
    listed = archive(root, ["list-layer"]).stdout.split(b"\0")
    check(any(line.startswith(b"w ") and line.endswith(b"/gone") for line in listed), listed)
    packed = archive(root, ["pack-layer"])
    names = tarfile.open(fileobj=io.BytesIO(packed.stdout)).getnames()
    check(".wh.gone" in names, names)


def escapes(directory):
    root = os.path.join(directory, "jail")
    os.mkdir(root)
    data = tar_of([
        ("out", b"", {"type": tarfile.SYMTYPE, "linkname": directory}),
        ("out/planted", b"p", {}),
        ("hard", b"", {"type": tarfile.LNKTYPE, "linkname": "../../../../../../etc/passwd"}),
    ])
    archive(root, ["unpack", "/"], data=data)
    check(not os.path.exists(os.path.join(directory, "planted")), "a link led out")
    kinds = archive(root, ["--same-kind", "unpack", "/there"], data=tar_of([("d", b"x", {})]))
    check(kinds.returncode == 0, kinds.stderr)
    os.mkdir(os.path.join(root, "e"))
    kinds = archive(root, ["--same-kind", "unpack", "/there"], data=tar_of([("e", b"x", {})]))
    check(b'cannot overwrite directory "e"' in kinds.stderr, kinds.stderr)


def copies(directory):
    """A tree copied: everything like it, the directory itself too, and holes stay holes."""
    source, target = os.path.join(directory, "from"), os.path.join(directory, "to")
    os.makedirs(os.path.join(source, "sub"))
    os.mkdir(target)
    with open(os.path.join(source, "sub", "file"), "wb") as file:
        file.write(b"one" * 100000)
    with open(os.path.join(source, "sparse"), "wb") as file:
        file.seek(30 << 20)
        file.write(b"end")
        file.truncate(40 << 20)
    os.link(os.path.join(source, "sub", "file"), os.path.join(source, "hard"))
    os.symlink("/etc/passwd", os.path.join(source, "link"))
    os.mkfifo(os.path.join(source, "fifo"), 0o640)
    os.setxattr(os.path.join(source, "hard"), "user.note", b"\xff\x00bytes")
    os.setxattr(source, "user.top", b"kept")
    os.chown(os.path.join(source, "hard"), 7, 8)
    os.chmod(os.path.join(source, "hard"), 0o4755)
    os.chmod(source, 0o1750)
    os.utime(source, (1, 2))
    done = archive(target, ["copy"], place=source)
    check(done.returncode == 0, done.stderr)
    for name in (".", "sub", "sub/file", "hard", "sparse", "link", "fifo"):
        a, b = (os.lstat(os.path.join(root, name)) for root in (source, target))
        for field in ("st_mode", "st_uid", "st_gid", "st_nlink", "st_mtime_ns"):
            check(getattr(a, field) == getattr(b, field), f"copy of {name}: {field}")
    with open(os.path.join(source, "sparse"), "rb") as a, open(os.path.join(target, "sparse"), "rb") as b:
        check(a.read() == b.read(), "contents differ")
    check(os.stat(os.path.join(target, "sparse")).st_blocks < 2048, "the holes are filled")
    check(os.getxattr(os.path.join(target, "sub/file"), "user.note") == b"\xff\x00bytes", "attribute differs")
    check(os.getxattr(target, "user.top") == b"kept", "the directory's own attribute")
    check(os.readlink(os.path.join(target, "link")) == "/etc/passwd", "link differs")
    again = archive(target, ["copy"], place=source)
    check(again.returncode == 1 and b"File exists" in again.stderr, "what is there is kept")
    topped = os.path.join(directory, "topped")
    os.mkdir(topped)
    packed = archive(source, ["pack", ".", "."])
    done = archive(topped, ["--top", "unpack", "/"], data=packed.stdout)
    check(done.returncode == 0, done.stderr)
    check(os.stat(topped).st_mode == os.stat(source).st_mode and os.getxattr(topped, "user.top") == b"kept", "the top")


def damaged(directory, sample):
    random.seed(7)
    root = os.path.join(directory, "damaged")
    os.mkdir(root)
    for _ in range(MUTATIONS):
        data = bytearray(sample[: random.randrange(1, min(len(sample), 20000))])
        for _ in range(random.randrange(1, 20)):
            data[random.randrange(len(data))] = random.randrange(256)
        archive(root, ["--maximum", "1000000", random.choice(["unpack-layer", "unpack"]), *(["/"] if random.random() < 0.5 else [])], data=bytes(data))


class Job:
    """A request to the server, with its four sockets."""

    def __init__(self, server, words, places, sockets=4):
        pairs = [socket.socketpair() for _ in range(sockets)]
        socket.send_fds(server, [b"".join(os.fsencode(word) + b"\0" for word in words)], [theirs.fileno() for _, theirs in pairs] + places)
        for _, theirs in pairs:
            theirs.close()
        self.status, self.input, self.output, self.errors = ([ours for ours, _ in pairs] + [None] * 4)[:4]

    def end(self, data=b""):
        """How it ended (None: nothing was said), its output and its errors."""
        try:
            self.input.sendall(data)
        except BrokenPipeError:
            pass
        self.input.close()
        output, errors = (b"".join(iter(lambda: stream.recv(65536), b"")) for stream in (self.output, self.errors))
        status = self.status.recv(4)
        return struct.unpack("i", status)[0] if status else None, output, errors


def serving(directory, sample):
    target = os.path.join(directory, "served")
    os.mkdir(target)
    root = os.open(target, os.O_PATH | os.O_DIRECTORY)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = os.dup(theirs.fileno())
    process = subprocess.Popen([PROGRAM, "serve"], env=ENVIRONMENT, preexec_fn=lambda: os.dup2(channel, 3), close_fds=False)
    theirs.close()
    os.close(channel)
    # Several at once, and one that fails beside them.
    together = [Job(ours, ["unpack", "/"], [root, root]) for _ in range(5)]
    bad = Job(ours, ["unpack", "/"], [root, root])
    check(bad.end(b"no archive" * 1000)[0] == 1 << 8, "what is no archive")
    for job in together:
        check(job.end(sample) == (0, b"", b""), "a served archive")
    check(os.path.exists(os.path.join(target, "sub/deep")), "its contents")
    status, output, _ = Job(ours, ["pack-contents"], [root, root]).end()
    check(status == 0 and len(output) > len(sample) // 2, "a packed one")
    # Ended early, by a word and by going away.
    waiting = Job(ours, ["unpack", "/"], [root, root])
    waiting.status.send(b"\0")
    check(struct.unpack("i", waiting.status.recv(4))[0] == signal.SIGKILL, "ended by a word")
    gone = Job(ours, ["unpack", "/"], [root, root])
    gone.status.close()
    check(gone.output.recv(1) == b"", "ended by going away")
    # What is no request is told by its sockets' end, and nothing else suffers.
    for words, places, sockets in ((["pack-contents"], [root, root], 3), (["pack-contents"], [root] * 4, 4), (["x" * 20000], [root, root], 4)):
        refused = Job(ours, words, places, sockets)
        check(refused.status.recv(4) == b"", f"no request: {len(words[0])} bytes, {len(places)} places, {sockets} sockets")
    many = Job(ours, ["--top"] * 40, [root, root]).end()
    check(many[0] == 1 << 8 and b"arguments" in many[2], "too many arguments")
    check(Job(ours, ["pack-contents"], [root, root]).end()[0] == 0, "after all that")
    last = Job(ours, ["unpack", "/"], [root, root])
    ours.close()
    check(process.wait() == 0, "the server ends with who asks")
    check(last.output.recv(1) == b"", "and so do its children")
    os.close(root)


with tempfile.TemporaryDirectory(prefix="tsd-archive-test-") as scratch:
    tar = there_and_back(scratch)
    layers(scratch)
    escapes(scratch)
    copies(scratch)
    damaged(scratch, tar)
    serving(scratch, tar)
print(f"archive: {checks} checks")
