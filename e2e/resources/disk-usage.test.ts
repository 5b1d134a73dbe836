// system df: what images, containers and volumes take, by docker and tsctl.
import { afterAll, beforeAll, expect, it } from "vitest";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("df");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});

interface Usage {
  LayersSize: number;
  Images: { Containers: number; Size: number; SharedSize: number }[] | null;
  Containers: { SizeRw: number }[] | null;
  Volumes: { Name: string; UsageData: { Size: number; RefCount: number } }[] | null;
}
const usage = async (query = ""): Promise<Usage> =>
  JSON.parse((await daemon.api("GET", `/system/df${query}`)).text) as Usage;

it("tells sizes and uses, and both clients show them alike", async () => {
  const write = "dd if=/dev/zero of=/own bs=1M count=3; dd if=/dev/zero of=/data/file bs=1M count=2";
  await daemon.tsctl("run", "--name", "user", "-v", "kept:/data", "busybox", "sh", "-c", write);
  const found = await usage();
  expect(found.Images).toMatchObject([{ Containers: 1, SharedSize: 0 }]);
  expect(found.LayersSize).toBe(found.Images?.[0]?.Size);
  // A directory or two beside the file itself.
  expect((found.Containers?.[0]?.SizeRw ?? 0) >> 20).toBe(3);
  expect(found.Volumes).toMatchObject([{ Name: "kept", UsageData: { RefCount: 1 } }]);
  expect((found.Volumes?.[0]?.UsageData.Size ?? 0) >> 20).toBe(2);
  await daemon.api("POST", "/commit?container=user&repo=second");
  expect((await usage()).Images?.map(({ SharedSize }) => SharedSize > 0)).toEqual([true, true]);
  await daemon.tsctl("rm", "user");
  expect((await usage("?type=volume")).Volumes).toMatchObject([{ UsageData: { RefCount: 0 } }]);
  expect(await usage("?type=image&type=container")).toMatchObject({ Volumes: null, Containers: [] });
  expect((await daemon.api("GET", "/system/df?type=nosuch")).status).toBe(400);
  const ours = await daemon.tsctl("system", "df");
  expect(ours.stdout).toMatch(/^Images +2 +0 +\S+ +\S+ \(100%\)$/m);
  if (hasDocker) expect(ours.stdout).toBe((await daemon.docker("system", "df")).stdout);
});
