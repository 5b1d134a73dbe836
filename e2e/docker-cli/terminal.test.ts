// Terminals: a shell with its size, arrow keys, Ctrl-C and detaching, by the docker client and by tsctl alike.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasDocker, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { onTerminal } from "../harness/terminal.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("terminal");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const clients: readonly [name: string, program: string, here: boolean][] = [
  ["docker", "docker", hasDocker],
  ["tsctl", tsctlProgram, true],
];

describe.each(clients)("%s on a terminal", (name, program, here) => {
  it.skipIf(!here)("runs a shell: size, resizing, history, Ctrl-C, exit status", async () => {
    const { output, status, left } = await onTerminal(
      daemon,
      [program, "run", "--rm", "-it", "busybox", "sh"],
      [
        ["# ", "stty size\n"],
        ["30 100", [40, 120]],
        ["# ", "stty size\n"],
        ["40 120", "echo on''ce\n"],
        ["once", "\u001b[A\n"],
        ["once", "sleep 60; echo not''reached\n"],
        ["sleep 60", "\u0003"],
        ["^C", "tty; exit 3\n"],
      ],
    );
    expect(left).toEqual([]);
    expect(output).toContain("/dev/pts/0");
    expect(output).not.toContain("notreached");
    expect(output).not.toContain("\r\r\n");
    expect(status).toBe(3);
  });

  it.skipIf(!here)("detaches by Ctrl-P Ctrl-Q and attaches again", async () => {
    const box = `detached-${name}`;
    const first = await onTerminal(
      daemon,
      [program, "run", "-it", "--name", box, "busybox", "sh"],
      [["# ", "\u0010\u0011"]],
    );
    expect(first.status).toBe(0);
    const list = await daemon.tsctl("ps", "--format", "{{.Names}}");
    expect(list.stdout.trim()).toBe(box);
    const again = await onTerminal(
      daemon,
      [program, "attach", box],
      [
        ["", "echo ba''ck\n"],
        ["back", "exit 4\n"],
      ],
    );
    expect(again.status).toBe(4);
    await daemon.tsctl("rm", box);
  });

  it.skipIf(!here)("execs a shell in a running container", async () => {
    const box = `running-${name}`;
    await daemon.tsctl("run", "-d", "--name", box, "busybox", "sleep", "60");
    const { status, left } = await onTerminal(
      daemon,
      [program, "exec", "-it", box, "sh"],
      [
        ["# ", "stty size\n"],
        ["30 100", "exit 6\n"],
      ],
    );
    expect(left).toEqual([]);
    expect(status).toBe(6);
    await daemon.tsctl("rm", "-f", box);
  });
});
