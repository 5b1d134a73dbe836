// --verify-interval and --defence: what the daemon looks after by itself in containers that run.

import { type Reaction, reactions } from "../api/defence.ts";

export interface IsolationSettings {
  /** Milliseconds between two verifications of all containers; 0 for none. */
  verifyInterval: number;
  /** Of containers that do not say. */
  defence: Reaction;
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3600_000 };
const LONGEST = 24 * 3600_000;

/** Throws for what is none, naming the option. */
export function parseIsolation(interval: string | undefined, defence: string | undefined): IsolationSettings {
  const [, amount, unit = ""] = /^(\d+)([smh]?)$/.exec(interval ?? "0") ?? [];
  const verifyInterval = Number(amount) * (units[unit || "s"] ?? 1000);
  if (amount === undefined || verifyInterval > LONGEST)
    throw new Error(
      `--verify-interval ${interval}: not a time such as 30s, 5m or 1h (0: never; at most 24h)`,
    );
  const reaction = reactions.find((one) => one === (defence ?? "off"));
  if (!reaction) throw new Error(`--defence ${defence}: not one of ${reactions.join(", ")}`);
  return { verifyInterval, defence: reaction };
}
