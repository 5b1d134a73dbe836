// tsctl context create, update, use, show, rm.
import { type Command, type Context, forEachArgument, print } from "../context.ts";
import { copiedFrom, endpointOf, parseEndpointFlag } from "../contexts/endpoint.ts";
import { removeContext, setCurrent, writeContext } from "../contexts/write.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { ENDPOINT, findContext, readContext, type StoredContext } from "../sdk/contexts.ts";
import { configDirectories, contextName, DEFAULT_CONTEXT } from "../sdk/environment.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;

/** Throws for what cannot be a new context's name. */
export function checkNewName(name: string, directory: string): void {
  if (name === DEFAULT_CONTEXT) throw new Error('"default" is a reserved context name');
  if (!NAME.test(name))
    throw new Error(
      `context name "${name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"`,
    );
  if (readContext(directory, name)) throw new Error(`context "${name}" already exists`);
}

/** A context that may be changed: docker's own are read, and left to docker. */
function ownContext(name: string, context: Context): StoredContext {
  const { own, all } = configDirectories(context.settings);
  const found = findContext(all, name);
  if (found.directory !== own)
    throw new Error(
      `context "${name}" is in ${found.directory}, which is docker's: change it there, or with --config ${found.directory}`,
    );
  return found;
}

export const create: Command = async (words, context) => {
  const flags = parseFlags(words, { description: ["text"], docker: ["list"], from: ["text"] });
  expectArguments(flags, "context create", 1, 1);
  const [name = ""] = flags.args;
  const { own } = configDirectories(context.settings);
  checkNewName(name, own);
  const from = flags.text("from");
  if (from && flags.has("docker")) throw new Error("cannot use --docker flag when --from is set");
  const parts = flags.has("docker")
    ? await endpointOf(parseEndpointFlag(flags.list("docker")), context.settings)
    : copiedFrom(from || contextName(context.settings), context.settings);
  // Without --docker it is a copy, description and all.
  const description = flags.text("description") || (flags.has("docker") ? undefined : parts.description);
  const meta = {
    Name: name,
    Metadata: description ? { Description: description } : {},
    Endpoints: { [ENDPOINT]: parts.endpoint },
  };
  writeContext(own, meta, parts.material);
  await print(name);
  context.fail(`Successfully created context "${name}"`);
  return 0;
};

export const update: Command = async (words, context) => {
  const flags = parseFlags(words, { description: ["text"], docker: ["list"] });
  expectArguments(flags, "context update", 1, 1);
  const [name = ""] = flags.args;
  const { directory, meta } = ownContext(name, context);
  const description = flags.text("description");
  if (description) meta.Metadata.Description = description;
  const parts = flags.has("docker")
    ? await endpointOf(parseEndpointFlag(flags.list("docker")), context.settings)
    : undefined;
  if (parts) meta.Endpoints[ENDPOINT] = parts.endpoint;
  writeContext(directory, meta, parts?.material);
  await print(name);
  context.fail(`Successfully updated context "${name}"`);
  return 0;
};

/** The variable that says which engine, whatever the current context is. */
const overriding = (): string | undefined => ["TSD_HOST", "DOCKER_HOST"].find((name) => process.env[name]);

/** Tells of a variable that the current context cannot win against. */
export function warnOfOverride(context: Context, what: string): void {
  const variable = overriding();
  if (variable && !context.settings.context)
    context.fail(
      `Warning: ${variable} environment variable overrides the active context. To use ${what}, either set the global --context flag, or unset ${variable} environment variable.`,
    );
}

export const use: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "context use", 1, 1);
  const [name = ""] = flags.args;
  const { own, all } = configDirectories(context.settings);
  if (name !== DEFAULT_CONTEXT) findContext(all, name);
  setCurrent(own, name === DEFAULT_CONTEXT ? undefined : name);
  await print(name);
  context.fail(`Current context is now "${name}"`);
  if (name !== DEFAULT_CONTEXT) warnOfOverride(context, `"${name}"`);
  return 0;
};

export const show: Command = async (words, context) => {
  expectArguments(parseFlags(words, {}), "context show", 0, 0);
  await print(contextName(context.settings));
  return 0;
};

export const rm: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"] });
  expectArguments(flags, "context rm", 1);
  const force = flags.bool("force");
  const { own, all } = configDirectories(context.settings);
  return forEachArgument(flags.args, context, async (name) => {
    if (name === DEFAULT_CONTEXT) throw new Error('context "default" cannot be removed');
    if (!all.some((directory) => readContext(directory, name))) {
      if (force) return name;
      throw new Error(`context "${name}" does not exist`);
    }
    const { directory } = ownContext(name, context);
    if (contextName({ ...context.settings, context: undefined }) === name) {
      if (!force) throw new Error(`context "${name}" is in use, set -f flag to force remove`);
      setCurrent(own, undefined);
    }
    removeContext(directory, name);
    return name;
  });
};
