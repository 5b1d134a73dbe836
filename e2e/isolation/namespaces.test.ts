// tsctl ns and tsctl nsenter: who is in which namespace, and host's tools in a container's.
import { readlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

interface Report {
  Host: Record<string, number>;
  Containers: {
    Name: string;
    Pid: number;
    Namespaces: Record<string, number>;
    SharedWith: Record<string, string[]>;
    Processes: { InnerPid: number; Command: string; Differs: string[] }[];
  }[];
}

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("ns");
  await daemon.importBusybox();
  const run = (name: string, ...flags: string[]) =>
    daemon.tsctl("run", "-d", "--name", name, ...flags, "busybox", "sleep", "1000");
  await run("alone", "--ipc", "shareable");
  await run("guest", "--net", "container:alone", "--ipc", "container:alone");
  await run("open", "--net", "host", "--pid", "host", "--uts", "host");
});
afterAll(async () => {
  await daemon?.stop();
});

const report = async (...words: string[]): Promise<Report> =>
  JSON.parse((await daemon.tsctl("ns", "--format", "json", ...words)).stdout) as Report;

it("shows each namespace by the kernel's own number, and who shares it", async () => {
  const { Host, Containers } = await report();
  const [alone, guest, open] = ["alone", "guest", "open"].map((name) =>
    Containers.find(({ Name }) => Name === name),
  );
  if (!alone || !guest || !open) throw new Error("not all are there");
  for (const [kind, inode] of Object.entries(alone.Namespaces))
    expect(readlinkSync(`/proc/${alone.Pid}/ns/${kind}`)).toBe(`${kind}:[${inode}]`);
  expect(Object.keys(alone.Namespaces)).toHaveLength(8);
  expect(alone.SharedWith).toMatchObject({ net: ["guest"], ipc: ["guest"], pid: [], mnt: [] });
  expect(guest.Namespaces.net).toBe(alone.Namespaces.net);
  expect(guest.Namespaces.pid).not.toBe(alone.Namespaces.pid);
  expect(open.SharedWith.net).toEqual(["host"]);
  expect(open.Namespaces.pid).toBe(Host.pid);
  expect(alone.Processes).toMatchObject([{ InnerPid: 1, Command: "sleep", Differs: [] }]);
});

it("prints it as a table, and one container with its processes", async () => {
  const { stdout } = await daemon.tsctl("ns");
  expect(stdout).toMatch(/^CONTAINER +PID +USER +MNT +PID +NET +IPC +UTS +CGROUP +TIME/);
  expect(stdout).toMatch(/^open +\d+ +.* host/m);
  expect(stdout).toMatch(/^net \d+ is shared by alone, guest$/m);
  const one = await daemon.tsctl("ns", "guest");
  expect(one.stdout).toMatch(/^net +\d+ +alone$/m);
  expect(one.stdout).toMatch(/^\d+ +1 +sleep +-$/m);
  expect((await daemon.tsctl("ns", "nosuch")).stderr).toContain("No such container: nosuch");
});

it("runs a program of the host's in a container's namespaces", async () => {
  const inNetwork = await daemon.tsctl("nsenter", "alone", "--net", "readlink", "/proc/self/ns/net");
  const { Containers } = await report("alone");
  expect(inNetwork.stdout).toBe(`net:[${Containers[0]?.Namespaces.net}]\n`);
  const other = await daemon.tsctl("nsenter", "-n", "alone", "readlink", "/proc/self/ns/mnt");
  expect(other.stdout.trim()).toBe(readlinkSync("/proc/self/ns/mnt"));
  const whole = await daemon.tsctl("nsenter", "--all", "alone", "sh", "-c", "hostname; echo $$; exit 7");
  expect(whole.status).toBe(7);
  expect(whole.stdout).toMatch(/^[0-9a-f]{12}\n\d\n$/);
});

it("refuses what it can't do, in words", async () => {
  expect((await daemon.tsctl("nsenter", "alone", "true")).stderr).toContain("tell which namespaces");
  expect((await daemon.tsctl("nsenter", "nosuch", "--net")).stderr).toContain("No such container: nosuch");
  await daemon.tsctl("create", "--name", "idle", "busybox", "true");
  expect((await daemon.tsctl("nsenter", "idle", "--net", "true")).stderr).toContain("is not running");
  const { status } = await daemon.tsctl("nsenter", "alone", "--net", "/no/such/program");
  expect(status).toBe(127);
});
