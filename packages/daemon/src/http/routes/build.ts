// Routes: builds, and the cache they leave.
import { Readable } from "node:stream";
import type { FastifyPluginAsync, FastifyRequest } from "fastify";
import { z } from "zod";
import type { BuildOptions } from "../../engine/build/options.ts";
import { BuildOutput } from "../../engine/build/output.ts";
import { pruneFilters } from "../../engine/build/prune.ts";
import { CommandFailure } from "../../engine/build/run.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import type { Engine } from "../engine.ts";
import { errorAnswer } from "../errors.ts";
import { route } from "../route.ts";
import { beginStream, clientGone } from "../stream.ts";
import { query, truthy } from "../validation.ts";

const text = z.string().optional();
const several = z
  .union([z.string(), z.array(z.string())])
  .optional()
  .transform((value) => (value === undefined ? [] : [value].flat()).filter((one) => one !== ""));
const integer = z
  .string()
  .regex(/^-?\d{0,18}$/, "must be a whole number")
  .optional()
  .transform((value) => Number(value || 0));

/** By which BuildKit's cache is pruned; the first is the second's name of before 1.48. */
const sizes = {
  "keep-storage": text,
  "reserved-space": text,
  "max-used-space": text,
  "min-free-space": text,
};

const buildQuery = query(
  z.object({
    dockerfile: text,
    t: several,
    remote: text,
    q: text,
    nocache: text,
    pull: text,
    rm: text,
    forcerm: text,
    squash: text,
    version: text,
    cachefrom: text,
    buildargs: text,
    labels: text,
    networkmode: text,
    extrahosts: several,
    platform: text,
    target: text,
    outputs: text,
    memory: integer,
    memswap: integer,
    cpushares: integer,
    cpuperiod: integer,
    cpuquota: integer,
    cpusetcpus: text,
    cpusetmems: text,
    cgroupparent: text,
    shmsize: integer,
    ulimits: text,
  }),
);
type BuildQuery = ReturnType<typeof buildQuery>;

/** A parameter that is JSON; `what` is what Docker calls it. */
function json<T>(value: string | undefined, what: string, schema: z.ZodType<T>): T | undefined {
  if (!value || value === "null") return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch (error) {
    throw invalid(`error reading ${what}: ${(error as Error).message}`);
  }
  const checked = schema.safeParse(parsed);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  throw invalid(`error reading ${what}: ${[...(issue?.path ?? []), issue?.message].join(": ")}`);
}

const ulimits = z.array(z.object({ Name: z.string(), Soft: z.int(), Hard: z.int() }));
const outputs = z.array(z.looseObject({ Type: z.string() }));
const SECRETS = "x-tsd-build-secrets";

/** Ours: secrets for RUN --mount=type=secret, by id, each in base64; the whole as JSON in base64. A header is in no log and no
 * record. */
function secretsOf({ headers }: FastifyRequest): Map<string, Buffer> {
  const header = headers[SECRETS];
  if (header === undefined) return new Map();
  const decoded = Buffer.from([header].flat().join(""), "base64").toString("utf8");
  const given = json(decoded, `header ${SECRETS}`, z.record(z.string(), z.base64())) ?? {};
  return new Map(Object.entries(given).map(([id, value]) => [id, Buffer.from(value, "base64")]));
}

function optionsOf(asked: BuildQuery, request: FastifyRequest): BuildOptions {
  if (asked.version === "2")
    throw notImplemented(
      "version 2 (BuildKit) is not supported: use the classic builder (DOCKER_BUILDKIT=0), or docker buildx with its docker-container driver",
    );
  if (truthy(asked.squash)) throw invalid("squash is only supported with experimental mode");
  if (asked.remote === "client-session") throw notImplemented("remote: client-session needs BuildKit");
  for (const { Type } of json(asked.outputs, "outputs", outputs) ?? [])
    throw notImplemented(`outputs: ${Type} needs BuildKit`);
  const args = json(asked.buildargs, "build args", z.record(z.string(), z.string().nullable())) ?? {};
  const registryConfig = request.headers["x-registry-config"];
  return {
    dockerfile: asked.dockerfile ?? "",
    tags: asked.t,
    remote: asked.remote ?? "",
    quiet: truthy(asked.q),
    noCache: truthy(asked.nocache),
    pull: truthy(asked.pull),
    remove: truthy(asked.forcerm) || !asked.rm || truthy(asked.rm),
    forceRemove: truthy(asked.forcerm),
    cacheFrom: json(asked.cachefrom, "cache-from", z.array(z.string())) ?? [],
    args: new Map(Object.entries(args).flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
    labels: json(asked.labels, "labels", z.record(z.string(), z.string())) ?? {},
    network: asked.networkmode ?? "",
    extraHosts: asked.extrahosts.flatMap((hosts) => hosts.split(",")),
    platform: asked.platform ?? "",
    target: asked.target ?? "",
    limits: {
      Memory: asked.memory,
      MemorySwap: asked.memswap,
      CpuShares: asked.cpushares,
      CpuPeriod: asked.cpuperiod,
      CpuQuota: asked.cpuquota,
      CpusetCpus: asked.cpusetcpus ?? "",
      CpusetMems: asked.cpusetmems ?? "",
      ShmSize: asked.shmsize,
      CgroupParent: asked.cgroupparent ?? "",
      Ulimits: json(asked.ulimits, "ulimits", ulimits) ?? [],
    },
    secrets: secretsOf(request),
    registryConfig: registryConfig === undefined ? undefined : [registryConfig].flat().join(""),
  };
}

const bodyOf = (request: FastifyRequest): Readable =>
  (request.body as Readable | undefined) ?? Readable.from([]);

export const buildRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  route(
    app,
    "POST",
    "/build",
    {
      permission: "build:run",
      query: buildQuery,
      rawBody: true,
      asked: ({ query: asked }) => ({
        Tags: asked.t,
        Remote: asked.remote ?? "",
        NetworkMode: asked.networkmode ?? "",
      }),
    },
    async ({ query: asked, request, reply, caller }) => {
      const options = optionsOf(asked, request);
      const output = new BuildOutput(() => beginStream(reply, "application/json"), options.quiet);
      const signal = clientGone(reply);
      try {
        await engine.builds.build({ options, body: bodyOf(request), caller, output, signal });
      } catch (error) {
        const code = error instanceof CommandFailure ? error.code : undefined;
        const { message } = errorAnswer(error as Error);
        if (!(await output.fail({ message, code }))) throw error;
      }
    },
  );

  route(
    app,
    "POST",
    "/build/prune",
    {
      permission: "build:prune",
      query: query(z.object({ all: text, filters: text, ...sizes })),
    },
    ({ query: asked, caller }) => {
      for (const name of Object.keys(sizes) as (keyof typeof sizes)[])
        if (asked[name] && asked[name] !== "0")
          throw notImplemented(
            `${name}: the classic builder's cache is images, which have no size of their own`,
          );
      const filters = parseFilters(asked.filters, pruneFilters);
      return engine.pruneBuilds({ all: truthy(asked.all), filters }, caller);
    },
  );
};
