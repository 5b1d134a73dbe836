#!/usr/bin/env python3
"""Writes a corpus of layers that a stranger might send, each as NAME.tar (or .tar.gz) into the directory argv[1]."""
import gzip
import io
import os
import struct
import sys
import tarfile
import zlib

where = sys.argv[1]
OUTSIDE = sys.argv[2]  # a directory that nothing may touch


def entry(name, kind=tarfile.REGTYPE, data=b"evil\n", **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def layer(name, *entries, form=tarfile.PAX_FORMAT):
    with tarfile.open(os.path.join(where, name + ".tar"), "w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)


def raw(name, data):
    with open(os.path.join(where, name), "wb") as file:
        file.write(data)


def header(name=b"x", size=b"00000000005", mode=b"0000644", kind=b"0", link=b"", magic=b"ustar\x0000", checksum=None):
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100 : 100 + len(mode)] = mode
    block[108:115] = b"0000000"
    block[116:123] = b"0000000"
    block[124 : 124 + len(size)] = size
    block[136:147] = b"00000000000"
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257 : 257 + len(magic)] = magic
    block[148:156] = b" " * 8
    total = sum(block) if checksum is None else checksum
    block[148:156] = b"%06o\x00 " % total
    return bytes(block)


end = b"\0" * 1024
pad = lambda data: data + b"\0" * (-len(data) % 512)
LINK, HARD, DIR, CHAR, BLOCK, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE

# Names that climb.
layer("climb", entry("../../../../../../.." + OUTSIDE + "/climbed"))
layer("absolute", entry(OUTSIDE + "/absolute"))
layer("climb-inside", entry("a/b/../../../../x"))
layer("dot-dot-directory", entry("..", DIR, mode=0o777))
layer("slashes", entry("////" + OUTSIDE + "//slashes"))
layer("backslash", entry("..\\..\\x"))
# Links that lead out.
layer("link-absolute", entry("out", LINK, linkname=OUTSIDE), entry("out/through-link"))
layer("link-relative", entry("out", LINK, linkname="../../../../../../.." + OUTSIDE), entry("out/through-link"))
layer("link-chain", entry("a", LINK, linkname="/"), entry("b", LINK, linkname="a" + OUTSIDE), entry("b/chain"))
layer("link-to-link", *[entry("l%d" % i, LINK, linkname="l%d" % (i + 1)) for i in range(60)], entry("l60", LINK, linkname=OUTSIDE), entry("l0/many"))
layer("link-loop", entry("a", LINK, linkname="b"), entry("b", LINK, linkname="a"), entry("a/loop"))
layer("link-over-directory", entry("d", DIR, mode=0o755), entry("d", LINK, linkname=OUTSIDE), entry("d/replaced"))
layer("link-proc", entry("p", LINK, linkname="/proc/self/root"), entry("p" + OUTSIDE + "/proc"))
layer("link-fd", entry("p", LINK, linkname="/proc/self/cwd/../../../.."), entry("p" + OUTSIDE + "/cwd"))
layer("hard-outside", entry("h", HARD, linkname="../../../../../../.." + OUTSIDE + "/canary"))
layer("hard-absolute", entry("h", HARD, linkname=OUTSIDE + "/canary"))
layer("hard-through-link", entry("o", LINK, linkname=OUTSIDE), entry("h", HARD, linkname="o/canary"))
layer("hard-to-self", entry("h", HARD, linkname="h"))
layer("hard-to-directory", entry("d", DIR, mode=0o755), entry("h", HARD, linkname="d"))
# Whiteouts.
layer("whiteout-climb", entry(".wh..."))
layer("whiteout-dot-dot", entry("a/.wh..."), entry("a/.wh.."))
layer("whiteout-slash", entry("../../../../../../.." + OUTSIDE + "/.wh.canary"))
layer("whiteout-link", entry("o", LINK, linkname=OUTSIDE), entry("o/.wh.canary"))
layer("opaque-link", entry("o", LINK, linkname=OUTSIDE), entry("o/.wh..wh..opq"))
layer("opaque-climb", entry("../../../../../../.." + OUTSIDE + "/.wh..wh..opq"))
layer("whiteout-empty", entry(".wh."))
layer("whiteout-own", entry("x"), entry(".wh.x"))
# The overlay's own notes.
layer("overlay-notes", entry("d", DIR, mode=0o755, pax_headers={"SCHILY.xattr.trusted.overlay.redirect": OUTSIDE, "SCHILY.xattr.trusted.overlay.opaque": "y"}))
layer("overlay-whiteout-device", entry("w", CHAR, devmajor=0, devminor=0, mode=0o600))
# Devices and set-id bits.
layer("device-disk", entry("disk", BLOCK, devmajor=7, devminor=0, mode=0o666))
layer("device-memory", entry("mem", CHAR, devmajor=1, devminor=1, mode=0o666), entry("kmsg", CHAR, devmajor=1, devminor=11, mode=0o666))
layer("setuid", entry("su", mode=0o4755), entry("sg", mode=0o2755), entry("t", DIR, mode=0o1777))
layer("fifo", entry("f", FIFO, mode=0o666), entry("f/under-fifo"))
# The same name again, as something else.
layer("twice", entry("x", data=b"first"), entry("x", data=b"second"))
layer("kinds", entry("x", DIR, mode=0o755), entry("x/y"), entry("x"), entry("x", LINK, linkname="y"), entry("x", FIFO))
layer("file-as-directory", entry("x"), entry("x/y"))
layer("root-as-file", entry("./", mode=0o644))
layer("root-as-link", entry(".", LINK, linkname=OUTSIDE), entry("under-root"))
# Sizes and headers.
raw("negative-size.tar", header(size=b"-0000000001") + pad(b"evil") + end)
raw("binary-negative-size.tar", header(size=b"\xff" * 12) + pad(b"evil") + end)
raw("huge-size.tar", header(size=b"\x80" + struct.pack(">Q", 1 << 62).rjust(11, b"\0")) + pad(b"evil") + end)
raw("size-beyond-end.tar", header(size=b"00000777777") + pad(b"evil"))
raw("bad-checksum.tar", header(checksum=1) + pad(b"evil!") + end)
raw("no-end.tar", header() + pad(b"evil!"))
raw("cut-header.tar", header()[:300])
raw("empty.tar", b"")
raw("only-zeros.tar", b"\0" * 10240)
raw("noise.tar", os.urandom(20480))
layer("name-long", entry("n" * 300))
layer("path-long", entry("/".join(["d" * 100] * 60)))
layer("depth", entry("/".join(["d"] * 1900)))
layer("name-control", entry("a\nb\x1b[31m"), entry("c\td"))
layer("owner-huge", entry("x", uid=4294967294, gid=4294967294))
layer("time-huge", entry("x", mtime=2**40), entry("y", mtime=-(2**40)))
big = b"%d path=%s\n" % (10 << 20, b"p" * ((10 << 20) - 16))
raw("pax-huge.tar", header(name=b"pax", size=b"%011o" % len(big), kind=b"x") + pad(big) + header() + pad(b"evil!") + end)
raw("pax-bad.tar", header(name=b"pax", size=b"%011o" % 20, kind=b"x") + pad(b"99999 path=/etc/x\n\n\n") + header() + pad(b"evil!") + end)
raw("gnu-long-name.tar", header(name=b"././@LongLink", size=b"%011o" % (5 << 20), kind=b"L", magic=b"ustar  \0") + pad(b"g" * (5 << 20)) + header(magic=b"ustar  \0") + pad(b"evil!") + end)
# Bombs: far more out than in.
packer = zlib.compressobj(wbits=31)
zeros = (packer.compress(b"\0" * (1 << 20)) for _ in range(400))
bomb = packer.compress(header(name=b"bomb", size=b"%011o" % (400 << 20))) + b"".join(zeros)
bomb += packer.compress(end) + packer.flush()
raw("bomb.tar.gz", bomb)
raw("bomb-twice.tar.gz", gzip.compress(bomb))
raw("gzip-cut.tar.gz", gzip.compress(header() + pad(b"evil!") + end)[:-12])
raw("gzip-crc.tar.gz", gzip.compress(header() + pad(b"evil!") + end)[:-8] + b"\0" * 8)
sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": str(1 << 50)}
layer("sparse-huge", entry("s", data=pad(b"1\n%d\n5\n" % ((1 << 50) - 5)) + b"evil\n", pax_headers=sparse))
