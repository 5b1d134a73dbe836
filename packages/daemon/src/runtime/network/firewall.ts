// Keeps our rules in the host's packet filter: writes them in one batch, and puts them back when somebody flushes them.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { tablesGeneration } from "@tsd/kernel-bindings";
import { type FilteredBridge, jumps, restoreText } from "./rules.ts";

const run = promisify(execFile);
/** Milliseconds between two looks at whether anybody has changed the host's rules. */
const LOOK_EVERY = 1000;
const USER_CHAIN = "TSD-USER";

export type Backend = "nft" | "legacy";

/** The programs of a backend: "iptables-nft", or plain "iptables" where the host has only one. */
interface Programs {
  backend: Backend;
  4: string;
  6: string;
}

const output = async (program: string, ...parameters: string[]): Promise<string> =>
  (await run(program, parameters, { maxBuffer: 64 << 20 })).stdout;

const attempt = (program: string, ...parameters: string[]): Promise<string | undefined> =>
  output(program, ...parameters).catch(() => undefined);

const hasRules = (saved: string | undefined): boolean => /^-A /m.test(saved ?? "");

/** The backend that the host uses: where both are there, the one with rules in it; else what plain iptables stands for. */
async function choosePrograms(): Promise<Programs> {
  const version = await output("iptables", "--version");
  const usual: Backend = version.includes("nf_tables") ? "nft" : "legacy";
  const other: Backend = usual === "nft" ? "legacy" : "nft";
  const plain: Programs = { backend: usual, 4: "iptables", 6: "ip6tables" };
  if (hasRules(await attempt("iptables-save"))) return plain;
  if (!hasRules(await attempt(`iptables-${other}-save`))) return plain;
  return { backend: other, 4: `iptables-${other}`, 6: `ip6tables-${other}` };
}

async function restore(program: string, text: string): Promise<void> {
  const restoring = run(`${program}-restore`, ["--noflush", "--wait"]);
  restoring.child.stdin?.end(text);
  await restoring;
}

/** Our part of what iptables-save prints, without counters. */
const ours = (saved: string): string =>
  saved
    .split("\n")
    .filter((line) => /TSD-/.test(line) && !line.includes(`-A ${USER_CHAIN}`))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""))
    .join("\n");

/** Numbers that change when the host's rules do: the last transaction of nf_tables, and how long legacy tables are. */
async function rulesMark(backend: Backend): Promise<string> {
  if (backend === "nft") return String(tablesGeneration());
  return `${await attempt("iptables-legacy-save")}`.length.toString();
}

export class Firewall {
  #programs: Programs | undefined;
  #networks: readonly FilteredBridge[] = [];
  #networks6: readonly FilteredBridge[] = [];
  #mark = "";
  #saved = "";
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  readonly #report: (problem: unknown, what: string) => void;
  readonly #changed: (repaired: boolean) => void;

  /** `changed` is told that somebody has changed rules of the host's, and whether ours had to be put back. */
  constructor(report: (problem: unknown, what: string) => void, changed: (repaired: boolean) => void) {
    this.#report = report;
    this.#changed = changed;
  }

  get backend(): Backend | undefined {
    return this.#programs?.backend;
  }

  /** Writes the rules of these networks, and no others. */
  apply(networks: readonly FilteredBridge[], networks6: readonly FilteredBridge[]): Promise<void> {
    return this.#exclusively(async () => {
      this.#networks = networks;
      this.#networks6 = networks6;
      await this.#write();
    });
  }

  #exclusively<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async #write(): Promise<void> {
    this.#programs ??= await choosePrograms();
    await allowForwarding("ipv4/ip_forward");
    await restore(this.#programs[4], restoreText(this.#networks, 4));
    await this.#ensureJumps(this.#programs[4]);
    if (this.#networks6.length > 0) {
      await allowForwarding("ipv6/conf/all/forwarding");
      await restore(this.#programs[6], restoreText(this.#networks6, 6));
      await this.#ensureJumps(this.#programs[6]);
    }
    this.#saved = await this.#save();
    this.#mark = await rulesMark(this.#programs.backend);
  }

  async #save(): Promise<string> {
    const programs = this.#programs as Programs;
    const families = this.#networks6.length > 0 ? ([4, 6] as const) : ([4] as const);
    const saved = await Promise.all(families.map((family) => output(`${programs[family]}-save`)));
    return ours(saved.join("\n"));
  }

  async #ensureJumps(program: string): Promise<void> {
    const saved = await output(`${program}-save`);
    const missing = jumps.filter(
      ({ chain, target }) => !new RegExp(`^-A ${chain} -j ${target}$`, "m").test(saved),
    );
    const user = new RegExp(`^:${USER_CHAIN} `, "m").test(saved) ? [] : [`:${USER_CHAIN} - [0:0]`];
    const lines = ["nat", "filter"].flatMap((table) => [
      `*${table}`,
      ...(table === "filter" ? user : []),
      ...missing
        .filter((jump) => jump.table === table)
        .map(({ chain, target, first }) => `${first ? "-I" : "-A"} ${chain} -j ${target}`),
      "COMMIT",
    ]);
    if (missing.length > 0 || user.length > 0) await restore(program, `${lines.join("\n")}\n`);
  }

  /** Our rules that are not there, and those among ours that are nobody's, as iptables-save shows them. */
  differences(): Promise<{ missing: string[]; extra: string[] }> {
    return this.#exclusively(async () => {
      if (!this.#programs || this.#saved === "") return { missing: [], extra: [] };
      const there = (await this.#save()).split("\n");
      const wanted = this.#saved.split("\n");
      return {
        missing: wanted.filter((line) => !there.includes(line)),
        extra: there.filter((line) => !wanted.includes(line)),
      };
    });
  }

  /** Looks after the rules from now on. */
  watch(): void {
    this.#timer = setInterval(() => {
      this.#exclusively(() => this.#check()).catch((error) =>
        this.#report(error, "the packet filter's rules"),
      );
    }, LOOK_EVERY);
    this.#timer.unref();
  }

  async #check(): Promise<void> {
    if (!this.#programs) return;
    const mark = await rulesMark(this.#programs.backend);
    if (mark === this.#mark) return;
    this.#mark = mark;
    const damaged = (await this.#save()) !== this.#saved;
    if (damaged) await this.#write();
    this.#changed(damaged);
  }

  /** Stops looking after the rules; they stay. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
  }
}

async function allowForwarding(name: string): Promise<void> {
  const path = `/proc/sys/net/${name}`;
  if ((await readFile(path, "utf8")).trim() !== "1") await writeFile(path, "1");
}
