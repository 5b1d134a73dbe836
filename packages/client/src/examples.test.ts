// The SDK's examples: they hold for the compiler, docs/sdk.md shows them as they are, and one of them runs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";
// Imported as types: that makes tsc check them, and does not run them.
import type {} from "../examples/events.ts";
import type {} from "../examples/list.ts";
import type {} from "../examples/remote.ts";
import type {} from "../examples/run.ts";
import { answerJson, plainServer } from "./testing/servers.ts";
import { run, TestTsctl } from "./testing/tsctl.ts";

const examples = join(import.meta.dirname, "../examples");
const guide = readFileSync(join(import.meta.dirname, "../../../docs/sdk.md"), "utf8");
const place = new TestTsctl();
afterAll(() => place.remove());

describe("examples", () => {
  it.each(readdirSync(examples))("%s stands in the guide", (name) => {
    expect(guide).toContain(`\`\`\`ts\n${readFileSync(join(examples, name), "utf8")}\`\`\`\n`);
  });
  it("run", async () => {
    const outfile = join(place.directory, "list.mjs");
    await build({
      entryPoints: [join(examples, "list.ts")],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
    });
    const server = await plainServer(
      answerJson([{ Id: "0123456789abcdef", Image: "busybox", State: "running", Names: ["/x"] }]),
    );
    const environment = { TSD_HOST: `tcp://127.0.0.1:${server.port}`, HOME: place.directory };
    expect(await run(process.execPath, [outfile], environment)).toEqual({
      status: 0,
      stdout: "0123456789ab busybox running /x\n",
      stderr: "",
    });
    server.close();
  });
});
