// AppArmor: whether the kernel has it, which profiles are loaded, and loading one.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const PROFILES = "/sys/kernel/security/apparmor/profiles";
const PARAMETER = "/sys/module/apparmor/parameters/enabled";
const PARSERS = ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"];

/** Whether the kernel's AppArmor is on, and what loads profiles is installed. */
export function appArmorSupport(): { enabled: boolean; parser: string | undefined } {
  const enabled = existsSync(PARAMETER) && readFileSync(PARAMETER, "utf8").trim() === "Y";
  return { enabled, parser: PARSERS.find((path) => existsSync(path)) };
}

/** Whether the kernel knows a profile of this name. Throws where securityfs is not mounted. */
export function isAppArmorProfile(name: string): boolean {
  const loaded = readFileSync(PROFILES, "utf8").split("\n");
  return loaded.some((line) => line.replace(/ \([^)]*\)$/, "") === name);
}

/** Loads a profile's text, in place of one of its name (apparmor_parser(8)). Rejects with the parser's words. */
export const loadAppArmorProfile = (parser: string, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(parser, ["--skip-cache", "--replace"], { stdio: ["pipe", "ignore", "pipe"] });
    let problem = "";
    child.stderr.on("data", (chunk: Buffer) => {
      problem = (problem + chunk.toString("utf8")).slice(0, 4096);
    });
    child.on("error", reject);
    child.stdin.on("error", () => undefined); // the exit status tells
    child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new Error(`${parser}: ${problem.trim() || `exit status ${status}`}`));
    });
    child.stdin.end(text);
  });
