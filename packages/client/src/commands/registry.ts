// tsctl pull, push, search, login, logout.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { type Command, type Context, print } from "../context.ts";
import { expectArguments, filtersJson, parseFlags, UsageError } from "../flags.ts";
import { type Columns, printRows } from "../output/format.ts";
import { ProgressDisplay, type ProgressLine } from "../output/progress.ts";
import { ellipsis } from "../output/units.ts";
import { authHeader, CredentialStore } from "../registry/credentials.ts";
import { credentialKey, registryName, registryOf } from "../registry/names.ts";
import { loadBundle } from "./certs.ts";

/** name[:tag|@digest] in its parts. */
function splitReference(text: string): { name: string; tag: string } {
  const [name = "", digest] = text.split("@");
  if (digest) return { name, tag: digest };
  const match = /^(.*?)(?::([^:/]+))?$/.exec(text);
  return { name: match?.[1] ?? text, tag: match?.[2] ?? "" };
}

async function headerFor(image: string, context: Context): Promise<string> {
  const registry = registryOf(image);
  return authHeader(registry, await new CredentialStore(context.settings).get(registry));
}

const write = (stream: NodeJS.WriteStream) => (text: string) =>
  new Promise<void>((resolve) => {
    if (stream.write(text)) resolve();
    else stream.once("drain", resolve);
  });

/** Pulls an image, showing how far it is on `stream`. */
export async function pullImage(
  text: string,
  context: Context,
  options: {
    platform?: string | undefined;
    quiet: boolean;
    all?: boolean;
    stream: NodeJS.WriteStream;
    /** Private keys in PEM, for encrypted layers. */
    keys?: readonly string[];
  },
): Promise<void> {
  const { name, tag } = splitReference(text);
  const display = new ProgressDisplay(write(options.stream), options.stream.isTTY === true);
  const lines = context.client.images.pull(
    { fromImage: name, tag: options.all ? "" : tag || "latest", platform: options.platform ?? "" },
    await headerFor(name, context),
    options.keys ?? [],
  );
  for await (const line of lines as AsyncIterable<ProgressLine>) {
    if (!options.quiet || line.error) await display.show(line);
  }
}

/** The platforms that a registry has an image for; the machine's own last, since the name goes to what is pulled last. */
async function platformsOf(image: string, context: Context): Promise<string[]> {
  const { Platforms } = await context.client.images.distribution(image, await headerFor(image, context));
  const { Os, Arch } = await context.client.version();
  const isOwn = (text: string): boolean => text === `${Os}/${Arch}` || text.startsWith(`${Os}/${Arch}/`);
  return Platforms.filter(({ os }) => os !== "" && os !== "unknown")
    .map(({ os, architecture, variant }) => [os, architecture, variant].filter(Boolean).join("/"))
    .sort((a, b) => Number(isOwn(a)) - Number(isOwn(b)));
}

export const pull: Command = async (words, context) => {
  const flags = parseFlags(words, {
    "all-platforms": ["bool"],
    "all-tags": ["bool", "a"],
    "decryption-key": ["list"],
    "disable-content-trust": ["bool"],
    platform: ["text"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "pull", 1, 1);
  const [image = ""] = flags.args;
  const { name, tag } = splitReference(image);
  const all = flags.bool("all-tags");
  const quiet = flags.bool("quiet");
  const keys = flags.list("decryption-key").map((path) => readFileSync(path, "utf8"));
  if (all && tag) throw new UsageError("tag can't be used with --all-tags/-a", 1);
  if (!all && !tag && !quiet) await print("Using default tag: latest");
  const one = flags.text("platform");
  if (flags.bool("all-platforms") && (one !== undefined || all))
    throw new UsageError("--all-platforms can't be used with --platform or --all-tags", 1);
  for (const platform of flags.bool("all-platforms") ? await platformsOf(image, context) : [one])
    await pullImage(image, context, { platform, quiet, all, stream: process.stdout, keys });
  const shown = tag.includes(":") ? `${name}@${tag}` : `${name}:${tag || "latest"}`;
  await print(
    `${registryOf(name) === name.split("/")[0] ? "" : `docker.io/${name.includes("/") ? "" : "library/"}`}${all ? name : shown}`,
  );
  return 0;
};

export const push: Command = async (words, context) => {
  const flags = parseFlags(words, {
    "all-tags": ["bool", "a"],
    "disable-content-trust": ["bool"],
    platform: ["text"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "push", 1, 1);
  const { name, tag } = splitReference(flags.args[0] ?? "");
  const all = flags.bool("all-tags");
  if (all && tag) throw new UsageError("tag can't be used with --all-tags/-a", 1);
  const quiet = flags.bool("quiet");
  if (!all && !tag && !quiet) await print("Using default tag: latest");
  const [os, architecture, variant] = (flags.text("platform") ?? "").split("/");
  const platform = architecture ? JSON.stringify({ os, architecture, variant }) : "";
  const display = new ProgressDisplay(write(process.stdout), process.stdout.isTTY === true);
  const lines = context.client.images.push(
    name,
    { tag: all ? "" : tag || "latest", platform },
    await headerFor(name, context),
  );
  for await (const line of lines as AsyncIterable<ProgressLine>)
    if (!quiet || line.error) await display.show(line);
  if (quiet) await print(`${name}${all ? "" : `:${tag || "latest"}`}`);
  return 0;
};

const searchColumns: Columns = [
  ["Name", "NAME"],
  ["Description", "DESCRIPTION"],
  ["StarCount", "STARS"],
  ["IsOfficial", "OFFICIAL"],
];

export const search: Command = async (words, context) => {
  const flags = parseFlags(words, {
    filter: ["list", "f"],
    format: ["text"],
    limit: ["text"],
    "no-trunc": ["bool"],
  });
  expectArguments(flags, "search", 1, 1);
  const [term = ""] = flags.args;
  const found = await context.client.images.search(
    { term, limit: flags.text("limit") ?? "", filters: filtersJson(flags.list("filter")) ?? "" },
    await headerFor(term, context),
  );
  const rows = found
    .sort((a, b) => b.star_count - a.star_count)
    .map((item) => ({
      Name: item.name,
      Description: flags.bool("no-trunc")
        ? item.description
        : ellipsis(item.description.replaceAll("\n", " "), 45),
      StarCount: String(item.star_count),
      IsOfficial: item.is_official ? "[OK]" : "",
      IsAutomated: "",
    }));
  await printRows(rows, searchColumns, flags.text("format"));
  return 0;
};

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await lines.question(question)).trim();
  } finally {
    lines.close();
  }
}

export const login: Command = async (words, context) => {
  const flags = parseFlags(words, {
    username: ["text", "u"],
    password: ["text", "p"],
    "password-stdin": ["bool"],
  });
  expectArguments(flags, "login", 0, 1);
  const registry = registryName(flags.args[0] ?? "");
  const store = new CredentialStore(context.settings);
  if (flags.has("password") && flags.bool("password-stdin"))
    throw new UsageError("--password and --password-stdin are mutually exclusive", 1);
  if (flags.bool("password-stdin") && !flags.has("username"))
    throw new UsageError("Must provide --username with --password-stdin", 1);
  if (flags.has("password"))
    context.fail("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
  const known = await store.get(registry);
  let username = flags.text("username") ?? "";
  let password = flags.bool("password-stdin")
    ? readFileSync(0, "utf8").replace(/\r?\n$/, "")
    : (flags.text("password") ?? "");
  if (!username && !password && (known.username || known.identitytoken)) {
    try {
      await context.client.login({ ...known, serveraddress: credentialKey(registry) });
      await print("Login Succeeded");
      return 0;
    } catch {
      context.fail("The credentials that are known are not taken any more.");
    }
  }
  if (!username || !password) {
    if (!process.stdin.isTTY)
      throw new UsageError("Cannot perform an interactive login from a non TTY device", 1);
    const { processIo } = loadBundle();
    username ||= await ask(`Username${known.username ? ` (${known.username})` : ""}: `);
    username ||= known.username ?? "";
    password ||= (await processIo().prompt?.("Password: ")) ?? "";
  }
  if (!username) throw new UsageError("username: is required", 1);
  const { Status, IdentityToken } = await context.client.login({
    username,
    password,
    serveraddress: credentialKey(registry),
  });
  await store.set(registry, IdentityToken ? { identitytoken: IdentityToken } : { username, password });
  await print(Status);
  return 0;
};

export const logout: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "logout", 0, 1);
  const registry = registryName(flags.args[0] ?? "");
  const known = await new CredentialStore(context.settings).erase(registry);
  await print(
    known
      ? `Removing login credentials for ${credentialKey(registry)}`
      : `Not logged in to ${credentialKey(registry)}`,
  );
  return 0;
};
