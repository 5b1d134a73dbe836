// tsctl roles check, whoami (= roles show).
import { readFileSync } from "node:fs";
import { type Command, print } from "../context.ts";
import { fileError } from "../file-error.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";
import { ApiError } from "../sdk/errors.ts";

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw fileError(error, file);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: not JSON: ${(error as Error).message}`);
  }
}

export const check: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "roles check", 1, 1);
  const [file = ""] = flags.args;
  const content = readJson(file);
  try {
    const { Roles, Callers, Warnings } = await context.client.roles.check(content);
    for (const warning of Warnings ?? []) context.fail(`${file}: warning: ${warning}`);
    await print(`${file}: ok, ${count(Roles.length, "role")}, ${count(Callers, "caller")}`);
    return 0;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 400) throw error;
    context.fail(`${file}: ${error.message}`);
    return 1;
  }
};

const scopes = { all: "all objects", own: "the caller's own objects" } as const;

export const whoami: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  expectArguments(flags, "whoami", 0, 0);
  const identity = await context.client.roles.whoami();
  const format = flags.text("format");
  if (format === "json") await print(JSON.stringify(identity));
  else if (format) await print(compileTemplate(format)(identity));
  else
    await print(
      [
        `Caller: ${identity.Caller}`,
        `Role:   ${identity.Role || "none"}`,
        `From:   ${identity.From}`,
        `Allow:  ${identity.Allow.join(", ") || "nothing"}`,
        `Scope:  ${scopes[identity.Scope] ?? identity.Scope}`,
        ...(identity.Limits ? [`Limits: ${JSON.stringify(identity.Limits)}`] : []),
      ].join("\n"),
    );
  return 0;
};
