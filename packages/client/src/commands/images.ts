// tsctl images, history, tag, rmi, image prune.
import type { ImageSummary } from "@tsd/daemon/api";
import { type Command, forEachArgument, print } from "../context.ts";
import { expectArguments, filtersJson, parseFlags } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { ellipsis, humanDuration, humanSize, shortId } from "../output/units.ts";
import { confirmed } from "./operations.ts";

const imageColumns: Columns = [
  ["Repository", "REPOSITORY"],
  ["Tag", "TAG"],
  ["ID", "IMAGE ID"],
  ["CreatedSince", "CREATED"],
  ["Size", "SIZE"],
];

const ago = (seconds: number): string => `${humanDuration(Date.now() - seconds * 1000)} ago`;

/** One row for each name; an image without any has one of <none>. */
function imageRows(image: ImageSummary, whole: boolean): Row[] {
  const names = image.RepoTags?.length ? image.RepoTags : ["<none>:<none>"];
  return names.map((name) => {
    const at = name.lastIndexOf(":");
    return {
      ID: whole ? image.Id : shortId(image.Id),
      Repository: name.slice(0, at),
      Tag: name.slice(at + 1),
      Digest: "<none>",
      CreatedSince: ago(image.Created),
      CreatedAt: new Date(image.Created * 1000)
        .toISOString()
        .replace("T", " ")
        .replace(/\.\d+Z$/, " +0000 UTC"),
      Size: humanSize(image.Size),
      VirtualSize: humanSize(image.Size),
      SharedSize: "N/A",
      UniqueSize: "N/A",
      Containers: "N/A",
    };
  });
}

export const images: Command = async (words, context) => {
  const flags = parseFlags(words, {
    all: ["bool", "a"],
    digests: ["bool"],
    filter: ["list", "f"],
    format: ["text"],
    "no-trunc": ["bool"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "images", 0, 1);
  const [reference] = flags.args;
  const filters = filtersJson([...flags.list("filter"), ...(reference ? [`reference=${reference}`] : [])]);
  const found = await context.client.images.list({ all: flags.bool("all"), ...(filters ? { filters } : {}) });
  const rows = found.flatMap((image) => imageRows(image, flags.bool("no-trunc")));
  if (flags.bool("quiet") && !flags.has("format")) {
    for (const { ID } of rows) await print(String(ID));
    return 0;
  }
  const columns: Columns = flags.bool("digests")
    ? [...imageColumns.slice(0, 2), ["Digest", "DIGEST"], ...imageColumns.slice(2)]
    : imageColumns;
  await printRows(rows, columns, flags.text("format"));
  return 0;
};

const historyColumns: Columns = [
  ["ID", "IMAGE"],
  ["CreatedSince", "CREATED"],
  ["CreatedBy", "CREATED BY"],
  ["Size", "SIZE"],
  ["Comment", "COMMENT"],
];

export const history: Command = async (words, context) => {
  const flags = parseFlags(words, {
    format: ["text"],
    human: ["bool", "H"],
    "no-trunc": ["bool"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "history", 1, 1);
  const whole = flags.bool("no-trunc");
  const rows = (await context.client.images.history(flags.args[0] ?? "")).map((item) => ({
    ID: item.Id === "<missing>" || whole ? item.Id : shortId(item.Id),
    CreatedSince: ago(item.Created),
    CreatedAt: new Date(item.Created * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
    CreatedBy: whole ? item.CreatedBy : ellipsis(item.CreatedBy, 45),
    Size: flags.has("human") && !flags.bool("human") ? String(item.Size) : humanSize(item.Size),
    Comment: item.Comment,
    Tags: item.Tags?.join(",") ?? "",
  }));
  if (flags.bool("quiet")) for (const { ID } of rows) await print(ID);
  else await printRows(rows, historyColumns, flags.text("format"));
  return 0;
};

export const tag: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "tag", 2, 2);
  const [source = "", target = ""] = flags.args;
  const match = /^(.*?)(?::([^:/]+))?$/.exec(target);
  await context.client.images.tag(source, match?.[1] ?? target, match?.[2] ?? "");
  return 0;
};

export const rmi: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"], "no-prune": ["bool"], platform: ["text"] });
  expectArguments(flags, "rmi", 1);
  const status = await forEachArgument(flags.args, context, async (name) => {
    const items = await context.client.images.remove(name, {
      force: flags.bool("force"),
      noprune: flags.bool("no-prune"),
    });
    return items
      .map((item) => ("Untagged" in item ? `Untagged: ${item.Untagged}` : `Deleted: ${item.Deleted}`))
      .join("\n");
  });
  // Forced, what could not be removed is told of and no failure, as docker has it.
  return flags.bool("force") ? 0 : status;
};

export const prune: Command = async (words, context) => {
  const flags = parseFlags(words, { all: ["bool", "a"], force: ["bool", "f"], filter: ["list"] });
  expectArguments(flags, "image prune", 0, 0);
  const all = flags.bool("all");
  const question = all
    ? "WARNING! This will remove all images without at least one container associated to them."
    : "WARNING! This will remove all dangling images.";
  if (!flags.bool("force") && !(await confirmed(question))) return 1;
  const filters = filtersJson([...flags.list("filter"), `dangling=${!all}`]);
  const { ImagesDeleted, SpaceReclaimed } = await context.client.images.prune(filters);
  if (ImagesDeleted?.length) {
    const lines = ImagesDeleted.map((item) =>
      "Untagged" in item ? `untagged: ${item.Untagged}` : `deleted: ${item.Deleted}`,
    );
    await print(`Deleted Images:\n${lines.join("\n")}\n`);
  }
  await print(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  return 0;
};
