// CDI: specifications in JSON and YAML, what requests stand for, and what is refused.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DeviceRequest, readSpecifications, requestedEdits } from "./cdi.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-cdi-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const ask = (request: Partial<DeviceRequest>): DeviceRequest => ({
  Driver: "",
  Count: 0,
  DeviceIDs: null,
  Capabilities: null,
  ...request,
});
const yaml = `
cdiVersion: "0.6.0"
kind: nvidia.com/gpu
containerEdits:
  env: ["DRIVER=yes"]
  mounts:
    - hostPath: /usr/lib
      containerPath: /driver
      options: [ro, rbind]
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{ path: /dev/gpu0, hostPath: /dev/null, permissions: rw }]
  - name: "1"
    containerEdits:
      deviceNodes: [{ path: /dev/gpu1, hostPath: /dev/zero }]
`;

describe("specifications", () => {
  it("are read in either form, later folders over earlier ones, broken ones named", () => {
    writeFileSync(join(directory, "gpu.yaml"), yaml);
    writeFileSync(
      join(directory, "x.json"),
      JSON.stringify({
        cdiVersion: "0.5.0",
        kind: "vendor.test/net",
        devices: [{ name: "a", containerEdits: {} }],
      }),
    );
    writeFileSync(join(directory, "broken.json"), '{"cdiVersion":"1","kind":"nothing","devices":[]}');
    writeFileSync(join(directory, "notes.txt"), "no specification");
    const { devices, problems } = readSpecifications(["/nosuch", directory]);
    expect([...devices.keys()].sort()).toEqual(["nvidia.com/gpu=0", "nvidia.com/gpu=1", "vendor.test/net=a"]);
    expect(problems).toEqual([`${join(directory, "broken.json")}: kind: not vendor/class`]);
  });
});

describe("requests", () => {
  beforeEach(() => writeFileSync(join(directory, "gpu.yaml"), yaml));
  const edits = (...requests: DeviceRequest[]) => requestedEdits(requests, [directory]);

  it("by name add the device's and the specification's edits, these once", () => {
    const found = edits(ask({ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=0", "nvidia.com/gpu=1"] }));
    expect(found.environment).toEqual(["DRIVER=yes"]);
    expect(found.mounts).toMatchObject([
      { source: "/usr/lib", target: "/driver", readOnly: true, recursive: true },
    ]);
    expect(found.devices).toMatchObject([
      { path: "/dev/gpu0", type: "c", major: 1, minor: 3 },
      { path: "/dev/gpu1", type: "c", major: 1, minor: 5 },
    ]);
    expect(found.rules).toEqual(["c 1:3 rw", "c 1:5 rwm"]);
  });
  it("for GPUs stand for so many of them, these ones, or all", () => {
    const gpu = (request: Partial<DeviceRequest>) =>
      edits(ask({ Capabilities: [["gpu"]], ...request })).devices.map(({ path }) => path);
    expect(gpu({ Count: 1 })).toEqual(["/dev/gpu0"]);
    expect(gpu({ Count: -1 })).toEqual(["/dev/gpu0", "/dev/gpu1"]);
    expect(gpu({ DeviceIDs: ["1"] })).toEqual(["/dev/gpu1"]);
    expect(() => gpu({ Count: 3 })).toThrow("3 GPUs were asked for, and there are 2");
  });
  it("for what there is not are refused as dockerd refuses them", () => {
    expect(() => edits(ask({ Driver: "cdi", DeviceIDs: ["a.test/b=c"] }))).toThrow(
      "unresolvable CDI devices a.test/b=c",
    );
    expect(() => edits(ask({ Driver: "other", Capabilities: [["gpu"]] }))).toThrow(
      'could not select device driver "other" with capabilities: [[gpu]]',
    );
    expect(() => requestedEdits([ask({ Count: -1, Capabilities: [["gpu"]] })], [])).toThrow(
      "could not select",
    );
  });
  it("bring hooks by where they are run; those of what comes after the start are refused by name", () => {
    const hook = (hookName: string) => ({
      hookName,
      path: "/bin/hook",
      args: ["hook", hookName],
      timeout: 5,
    });
    const all = ["prestart", "createRuntime", "createContainer", "startContainer"].map(hook);
    const devices = [
      { name: "x", containerEdits: { hooks: all } },
      { name: "late", containerEdits: { hooks: [hook("poststop")] } },
    ];
    writeFileSync(join(directory, "h.json"), JSON.stringify({ cdiVersion: "1", kind: "h.test/h", devices }));
    const asked = (kind: string) => ({ path: "/bin/hook", args: ["hook", kind], timeout: 5 });
    expect(edits(ask({ Driver: "cdi", DeviceIDs: ["h.test/h=x"] })).hooks).toEqual({
      createRuntime: [asked("prestart"), asked("createRuntime")],
      createContainer: [asked("createContainer")],
      startContainer: [asked("startContainer")],
    });
    expect(() => edits(ask({ Driver: "cdi", DeviceIDs: ["h.test/h=late"] }))).toThrow(
      "CDI hooks of kind poststop (h.test/h=late asks for /bin/hook)",
    );
  });
});
