// Internet sockets that are opened in, or taken from, another network namespace: descriptors for Node to wrap. Each call is
// synchronous and takes microseconds; the thread is in the other namespace around socket(2) alone.
import { openSync } from "node:fs";
import { isIPv4 } from "node:net";
import koffi from "koffi";
import { addressBytes } from "./addresses.ts";
import { KernelError } from "./errors.ts";
import { closeDescriptor } from "./libc.ts";

const libc = koffi.load("libc.so.6");
const native = {
  socket: libc.func("int socket(int domain, int type, int protocol)"),
  bind: libc.func("int bind(int descriptor, const void *address, uint32_t length)"),
  listen: libc.func("int listen(int descriptor, int backlog)"),
  connect: libc.func("int connect(int descriptor, const void *address, uint32_t length)"),
  send: libc.func("intptr_t send(int descriptor, const void *bytes, size_t length, int flags)"),
  setsockopt: libc.func(
    "int setsockopt(int descriptor, int level, int name, const void *value, uint32_t length)",
  ),
  getsockname: libc.func("int getsockname(int descriptor, _Out_ void *address, _Inout_ uint32_t *length)"),
  setns: libc.func("int setns(int descriptor, int type)"),
  ioctl: libc.func("int ioctl(int descriptor, unsigned long request)"),
  pidfd_open: libc.func("long syscall(long number, int pid, unsigned int flags)"),
  pidfd_getfd: libc.func("long syscall(long number, int pidfd, int descriptor, unsigned int flags)"),
};

const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const SIOCGSKNS = 0x894c;
const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EINPROGRESS = 115;
const ENAMETOOLONG = 36;

/** Throws what errno says if `result` is −1. */
function check(result: number, call: string, about: string): number {
  if (result < 0) throw new KernelError(call, koffi.errno(), about);
  return result;
}

/** Duplicates of descriptors that another process has open (pidfd_getfd(2), Linux 5.6; needs the right to trace it). The
 * caller closes them. Throws KernelError, EBADF where the process has no such descriptor; no duplicate is left then. */
export function takeDescriptors(pid: number, numbers: readonly number[]): number[] {
  const about = `process ${pid}`;
  const process = check(Number(native.pidfd_open(SYS_pidfd_open, pid, 0)), "pidfd_open", about);
  const taken: number[] = [];
  try {
    for (const number of numbers)
      taken.push(
        check(Number(native.pidfd_getfd(SYS_pidfd_getfd, process, number, 0)), "pidfd_getfd", about),
      );
    return taken;
  } catch (error) {
    for (const descriptor of taken) closeDescriptor(descriptor);
    throw error;
  } finally {
    closeDescriptor(process);
  }
}

/** Where an IPv4 socket is bound (getsockname(2)), or undefined for any other descriptor. */
export function boundAddress(descriptor: number): { address: string; port: number } | undefined {
  const bytes = Buffer.alloc(28);
  if (native.getsockname(descriptor, bytes, [bytes.length]) < 0 || bytes.readUInt16LE(0) !== AF_INET)
    return undefined;
  return { address: [...bytes.subarray(4, 8)].join("."), port: bytes.readUInt16BE(2) };
}

let ownNamespace: number | undefined;

/** Runs `action`, which opens a socket and nothing else, with this thread in the network namespace of an open socket
 * (SIOCGSKNS, socket(7)): no process has to be named, so none can be mistaken. */
export function inNamespaceOfSocket<T>(descriptor: number, action: () => T): T {
  ownNamespace ??= openSync("/proc/thread-self/ns/net", "r");
  const wanted = check(native.ioctl(descriptor, SIOCGSKNS), "ioctl", "SIOCGSKNS");
  try {
    check(native.setns(wanted, CLONE_NEWNET), "setns", "network namespace of a socket");
    try {
      return action();
    } finally {
      // Staying behind in a container's network would mean serving the API there.
      if (native.setns(ownNamespace, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    closeDescriptor(wanted);
  }
}

/** sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)). */
function socketAddress(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(isIPv4(address) ? 16 : 28);
  bytes.writeUInt16LE(isIPv4(address) ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addressBytes(address), isIPv4(address) ? 4 : 8);
  return bytes;
}

const open = (address: string, type: number): number =>
  check(
    native.socket(isIPv4(address) ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    "socket",
    address,
  );

/** A socket of the namespace that `beside` belongs to, or, without one, of the daemon's own. */
const openBeside = (beside: number | undefined, address: string, type: number): number =>
  beside === undefined ? open(address, type) : inNamespaceOfSocket(beside, () => open(address, type));

export interface Peer {
  address: string;
  port: number;
  /** A socket in whose network namespace to open this one; undefined for the daemon's own. */
  beside: number | undefined;
}

/** A datagram socket connected to its peer, at a port of the kernel's (random) choice, that has sent `bytes`. The kernel
 * drops what others send to it. The caller closes it. Throws KernelError. */
export function datagramTo({ address, port, beside }: Peer, bytes: Uint8Array): number {
  const socket = openBeside(beside, address, SOCK_DGRAM);
  try {
    const name = socketAddress(address, port);
    check(native.connect(socket, name, name.length), "connect", address);
    check(native.send(socket, bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT), "send", address);
    return socket;
  } catch (error) {
    closeDescriptor(socket);
    throw error;
  }
}

/** A stream socket that is on its way to its peer: it becomes writable when it is there. The caller closes it. */
export function streamTo({ address, port, beside }: Peer): number {
  const socket = openBeside(beside, address, SOCK_STREAM);
  try {
    const name = socketAddress(address, port);
    if (native.connect(socket, name, name.length) < 0 && koffi.errno() !== EINPROGRESS)
      throw new KernelError("connect", koffi.errno(), address);
    return socket;
  } catch (error) {
    closeDescriptor(socket);
    throw error;
  }
}

/** A connection to a Unix socket of the host's, by its path. The caller closes it. Throws KernelError. */
export function connectLocal(path: string): number {
  const AF_UNIX = 1;
  const bytes = Buffer.from(path);
  const name = Buffer.alloc(2 + 108);
  if (bytes.length > 107) throw new KernelError("connect", ENAMETOOLONG, path);
  name.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(name, 2);
  const socket = check(native.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", path);
  try {
    check(native.connect(socket, name, name.length), "connect", path);
    return socket;
  } catch (error) {
    closeDescriptor(socket);
    throw error;
  }
}

/** A datagram socket and a listening stream socket at one address, in the present namespace. The caller closes them. */
export function listenAt(address: string, port: number, backlog: number): [datagram: number, stream: number] {
  const opened: number[] = [];
  const name = socketAddress(address, port);
  const add = (type: number): number => {
    const socket = open(address, type);
    opened.push(socket);
    const on = Buffer.from([1, 0, 0, 0]);
    // As launcher/child.c does it: streams may take a port that is in TIME_WAIT.
    if (type === SOCK_STREAM)
      check(native.setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, on, 4), "setsockopt", address);
    check(native.bind(socket, name, name.length), "bind", `${address}:${port}`);
    return socket;
  };
  try {
    const pair: [number, number] = [add(SOCK_DGRAM), add(SOCK_STREAM)];
    check(native.listen(pair[1], backlog), "listen", address);
    return pair;
  } catch (error) {
    for (const descriptor of opened) closeDescriptor(descriptor);
    throw error;
  }
}
