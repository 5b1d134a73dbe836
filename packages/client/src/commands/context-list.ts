// tsctl context ls, inspect.
import { type Command, type Context, errorText, print } from "../context.ts";
import { DEFAULT_DESCRIPTION, defaultHost } from "../contexts/endpoint.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { type Columns, printRows } from "../output/format.ts";
import { compileTemplate } from "../output/template.ts";
import { ellipsis } from "../output/units.ts";
import { ENDPOINT, findContext, listContexts } from "../sdk/contexts.ts";
import { configDirectories, contextName, DEFAULT_CONTEXT, defaultConnection } from "../sdk/environment.ts";
import { warnOfOverride } from "./context.ts";

const columns: Columns = [
  ["Title", "NAME"],
  ["Description", "DESCRIPTION"],
  ["DockerEndpoint", "DOCKER ENDPOINT"],
  ["Error", "ERROR"],
];

/** A line of the list; the keys are in docker's order. */
interface Line {
  Current: boolean;
  Description: string;
  DockerEndpoint: string;
  Error: string;
  Name: string;
}

function lines(context: Context): Line[] {
  const current = contextName(context.settings);
  const { all } = configDirectories(context.settings);
  const found: Line[] = [
    {
      Current: current === DEFAULT_CONTEXT,
      Description: DEFAULT_DESCRIPTION,
      DockerEndpoint: defaultHost(context.settings),
      Error: "",
      Name: DEFAULT_CONTEXT,
    },
    ...listContexts(all).map(({ meta }) => ({
      Current: meta.Name === current,
      Description: meta.Metadata.Description ?? "",
      DockerEndpoint: meta.Endpoints[ENDPOINT]?.Host ?? "",
      Error: "",
      Name: meta.Name,
    })),
  ];
  if (found.some(({ Current }) => Current)) return found;
  // The current one is named and not there: that is told where it would stand.
  let problem = "";
  try {
    findContext(all, current);
  } catch (error) {
    problem = errorText(error);
  }
  found.push({
    Current: true,
    Description: "",
    DockerEndpoint: "",
    Error: ellipsis(problem, 45),
    Name: current,
  });
  return found;
}

export const ls: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text"], quiet: ["bool", "q"] });
  expectArguments(flags, "context ls", 0, 0);
  const found = lines(context);
  const format = flags.text("format");
  if (flags.bool("quiet")) {
    for (const { Name } of found) await print(Name);
    return 0;
  }
  const isTable = format === undefined || format === "table";
  const titled = (line: Line) => ({ ...line, Title: line.Current ? `${line.Name} *` : line.Name });
  await printRows(isTable ? found.map(titled) : found.map((line) => ({ ...line })), columns, format);
  if (format === undefined) warnOfOverride(context, "a context");
  return 0;
};

/** A context as docker's inspect shows it. */
function shown(name: string, context: Context): unknown {
  if (name === DEFAULT_CONTEXT) {
    const { tls } = defaultConnection(context.settings);
    const held = (["ca", "cert", "key"] as const).filter((key) => tls?.[key]).map((key) => `${key}.pem`);
    return {
      Name: name,
      Metadata: {},
      Endpoints: {
        [ENDPOINT]: { Host: defaultHost(context.settings), SkipTLSVerify: tls?.verify === false },
      },
      TLSMaterial: held.length > 0 ? { [ENDPOINT]: held } : {},
      Storage: { MetadataPath: "<IN MEMORY>", TLSPath: "<IN MEMORY>" },
    };
  }
  const { meta, material, metaPath, tlsPath } = findContext(configDirectories(context.settings).all, name);
  return { ...meta, TLSMaterial: material, Storage: { MetadataPath: metaPath, TLSPath: tlsPath } };
}

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  const names = flags.args.length > 0 ? flags.args : [contextName(context.settings)];
  const found: unknown[] = [];
  let problem: unknown;
  for (const name of names) {
    try {
      found.push(shown(name, context));
    } catch (error) {
      problem = error;
      break;
    }
  }
  const format = flags.text("format");
  if (format === undefined) await print(JSON.stringify(found, null, 4));
  else if (format === "json") await print(JSON.stringify(found));
  else for (const item of found) await print(compileTemplate(format)(item));
  if (problem) throw problem;
  return 0;
};
