// tsctl audit-config: what is weak about the configuration of the engine, its host and every container, and what to do about it.
import type { ConfigurationAudit, DriftSeverity } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";

const severities: readonly DriftSeverity[] = ["info", "low", "medium", "high", "critical"];

function severity(flag: string, text: string): number {
  const rank = severities.indexOf(text as DriftSeverity);
  if (rank < 0)
    throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: one of ${severities.join(", ")}`);
  return rank;
}

type Finding = ConfigurationAudit["Findings"][number];

/** What one check found in one place stands together. */
function text(findings: readonly Finding[], { Passed, Containers }: ConfigurationAudit): string {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = [finding.Severity, finding.Id, finding.Container].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  const lines = [...groups.values()].flatMap((group) => {
    const [{ Severity, Id, Container, Title, Remedy } = {} as Finding] = group;
    return [
      `${Severity.padEnd(9)}${Id}${Container ? `  (container ${Container})` : ""}`,
      `         ${Title}`,
      ...group.map(({ Evidence }) => `         found:  ${Evidence}`),
      `         remedy: ${Remedy}`,
    ];
  });
  const counts = severities
    .toReversed()
    .map((one) => `${findings.filter(({ Severity }) => Severity === one).length} ${one}`)
    .join(", ");
  return `${[...lines, ...(lines.length ? [""] : [])].join("\n")}${Containers} container${Containers === 1 ? "" : "s"} looked at; ${counts}; ${Passed.length} checks found nothing\n`;
}

/** Exits with 1 where something is found that weighs as much as --fail-on. */
export const auditConfig: Command = async (words, context) => {
  const flags = parseFlags(words, {
    severity: ["text"],
    "fail-on": ["text"],
    format: ["text", "f"],
    container: ["text"],
  });
  expectArguments(flags, "audit-config", 0, 0);
  const format = flags.text("format") ?? "text";
  if (!["text", "json"].includes(format))
    throw new UsageError(`invalid argument "${format}" for "--format" flag: text or json`);
  const least = severity("severity", flags.text("severity") ?? "info");
  const failing = flags.has("fail-on") ? severity("fail-on", flags.text("fail-on") ?? "") : severities.length;
  const audit = await context.client.isolation.auditConfiguration();
  const only = flags.text("container");
  const findings = audit.Findings.filter(
    ({ Severity, Container }) =>
      severities.indexOf(Severity) >= least && (only === undefined || Container === only),
  );
  await print(
    format === "json" ? JSON.stringify({ ...audit, Findings: findings }, null, 2) : text(findings, audit),
  );
  return findings.some(({ Severity }) => severities.indexOf(Severity) >= failing) ? 1 : 0;
};
