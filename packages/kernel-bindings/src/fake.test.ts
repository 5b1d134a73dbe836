// The recording launcher, and with it the daemon's side of a monitor.
import { describe, expect, it } from "vitest";
import { RecordingLauncher } from "./fake.ts";
import { decodeStatus, parseExitRecord } from "./monitor.ts";

const plan = [{ op: "clone", flags: 0 }] as const;

describe("a recorded launch", () => {
  it("tells of the start and the end, and takes orders", async () => {
    const launcher = new RecordingLauncher();
    const { monitor, clients } = launcher.launch(plan, [{ stdin: true, stdout: true, stderr: false }]);
    const [launch] = launcher.launches;
    expect(launch?.plan).toEqual(plan);
    expect(clients).toHaveLength(1);
    launch?.started(42);
    expect((await monitor.started).pid).toBe(42);
    monitor.signal(15);
    monitor.resize(80, 24);
    await new Promise((resolve) => setImmediate(resolve));
    expect(launch?.received()).toEqual(
      Buffer.from([5, 0, 0, 0, 16, 15, 0, 0, 0, 5, 0, 0, 0, 17, 80, 0, 24, 0]),
    );
    launch?.exited(9);
    expect(await monitor.exited).toMatchObject({ exitCode: 137, signal: 9 });
  });

  it("refuses what could not be sent", () => {
    expect(() => new RecordingLauncher().launch([{ op: "hostname", name: "\0" }])).toThrow(/NUL/);
  });
});

describe("wait statuses", () => {
  it("are read as waitpid gives them", () => {
    expect(decodeStatus(0x0700, 1n)).toEqual({ exitCode: 7, signal: 0, exitedAt: 1n });
    expect(parseExitRecord("15 99\n")).toEqual({ exitCode: 143, signal: 15, exitedAt: 99n });
    expect(() => parseExitRecord("15")).toThrow("malformed exit record");
  });
});
