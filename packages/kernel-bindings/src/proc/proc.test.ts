// What /proc says of processes and mounts, read.
import { expect, it } from "vitest";
import { parseMountinfo } from "./mountinfo.ts";
import { mappedId, namespaceInodes, processCgroups, processLimits, processStatus } from "./process.ts";

it("reads a process: this one", () => {
  const status = processStatus(process.pid);
  expect(status).toMatchObject({ parent: process.ppid, innerPid: expect.any(Number) });
  expect(status?.uids).toHaveLength(4);
  expect(processLimits(process.pid)?.get(7)?.soft).toBeGreaterThan(0n);
  expect(processCgroups(process.pid)?.size).toBeGreaterThan(0);
  expect(namespaceInodes("self")).toEqual(namespaceInodes(process.pid));
  expect(mappedId(process.pid, "uid_map", 12)).toBe(12);
});

it("knows when one is gone", () => {
  expect(processStatus(2 ** 22 + 1)).toBeUndefined();
  expect(processLimits(2 ** 22 + 1)).toBeUndefined();
  expect(namespaceInodes(2 ** 22 + 1).net).toBe(0);
});

it("reads mounts with their options, their propagation and names with blanks", () => {
  const [root, bind] = parseMountinfo(
    "95 46 0:40 / / rw,relatime - overlay overlay rw,lowerdir=/a\n" +
      "96 95 254:0 /my\\040data /a\\040b ro,nosuid shared:7 master:2 - ext4 /dev/vda rw\n",
  );
  expect(root).toMatchObject({ id: 95, parent: 46, mountPoint: "/", type: "overlay", propagation: [] });
  expect(bind).toMatchObject({ root: "/my data", mountPoint: "/a b", propagation: ["shared:7", "master:2"] });
  expect(bind?.options.has("ro")).toBe(true);
});
