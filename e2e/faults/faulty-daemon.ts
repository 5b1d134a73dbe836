// A daemon whose launch plans fail where a file says: {"step": n} fails before step n, {} lets everything pass.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Plan, type Step, stageOf } from "@tsd/kernel-bindings";
import pino from "pino";
import { compose } from "../../packages/daemon/src/compose.ts";
import { readFlags } from "../../packages/daemon/src/configuration/flags.ts";
import { makeSettings } from "../../packages/daemon/src/configuration/settings.ts";
import { Policy } from "../../packages/daemon/src/engine/access/policy.ts";
import { Listeners } from "../../packages/daemon/src/listen/listeners.ts";

const EIO = 5;
const settings = makeSettings(readFlags(process.argv.slice(2)), 1024);
const repository = process.env.TSD_REPOSITORY ?? "";
const order = join(settings.dataRoot, "fault.json");
const told = join(settings.dataRoot, "plan.json");

/** The plan with a failing step put in, in the same stage as the one it comes before. */
function withFault(plan: Plan): Plan {
  const { step } = existsSync(order) ? (JSON.parse(readFileSync(order, "utf8")) as { step?: number }) : {};
  const before = step === undefined ? undefined : plan[step];
  if (step === undefined || !before) return plan;
  const fault: Step = { op: `fail.${stageOf(before.op)}`, errno: EIO };
  return [...plan.slice(0, step), fault, ...plan.slice(step)];
}

const logger = pino({ level: "warn" });
const build = (name: string): string => join(repository, "packages/kernel-bindings/launcher/build", name);
const daemon = await compose({
  imagePolicy: undefined,
  settings,
  programs: { launcher: build("tsd-launcher"), init: build("tsd-init"), archiver: build("tsd-archive") },
  policy: Policy.docker(),
  logger,
  end: () => process.exit(0),
  transform: (plan) => {
    writeFileSync(told, JSON.stringify(plan.map(({ op }) => op)));
    return withFault(plan);
  },
});
await daemon.app.ready();
const listeners = new Listeners(
  {
    http: daemon.app.server,
    connections: daemon.connections,
    logger,
    passed: [],
    groupId: () => undefined,
    refused: () => undefined,
  },
  settings,
);
await listeners.open();
process.on("SIGTERM", () => {
  void listeners
    .close()
    .then(() => daemon.close())
    .finally(() => process.exit(0));
});
