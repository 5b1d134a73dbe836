// A daemon whose launch plans fail where a file says: {"step": n} fails before step n, {} lets everything pass.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Plan, type Step, stageOf } from "@tsd/kernel-bindings";
import pino from "pino";
import { compose } from "../../packages/daemon/src/compose.ts";
import { parseCidr, readFlags } from "../../packages/daemon/src/flags.ts";

const EIO = 5;
const flags = readFlags(process.argv.slice(2));
if ("print" in flags) throw new Error("no flags");
const repository = process.env.TSD_REPOSITORY ?? "";
const order = join(flags.dataRoot, "fault.json");
const told = join(flags.dataRoot, "plan.json");

/** The plan with a failing step put in, in the same stage as the one it comes before. */
function withFault(plan: Plan): Plan {
  const { step } = existsSync(order) ? (JSON.parse(readFileSync(order, "utf8")) as { step?: number }) : {};
  const before = step === undefined ? undefined : plan[step];
  if (step === undefined || !before) return plan;
  const fault: Step = { op: `fail.${stageOf(before.op)}`, errno: EIO };
  return [...plan.slice(0, step), fault, ...plan.slice(step)];
}

const daemon = await compose(
  {
    ...flags,
    bridge: { name: flags.bridge, ...parseCidr(flags.bridgeAddress) },
    programs: {
      launcher: join(repository, "packages/kernel-bindings/launcher/build/tsd-launcher"),
      init: join(repository, "packages/kernel-bindings/launcher/build/tsd-init"),
      archiver: join(repository, "packages/kernel-bindings/launcher/build/tsd-archive"),
    },
  },
  pino({ level: "warn" }),
  () => process.exit(0),
  (plan) => {
    writeFileSync(told, JSON.stringify(plan.map(({ op }) => op)));
    return withFault(plan);
  },
);
await daemon.app.ready();
await daemon.app.listen({ path: flags.hosts[0]?.replace("unix://", "") ?? "" });
process.on("SIGTERM", () => {
  void daemon.close().finally(() => process.exit(0));
});
