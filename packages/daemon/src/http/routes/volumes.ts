// Routes: volumes, and their contents as a whole.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { type VolumeCreate, volumeCreateSchema, volumeSnapshotSchema } from "../../api/schemas/volume.ts";
import type { Caller } from "../../engine/access/caller.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { EngineError } from "../../engine/errors.ts";
import { pruneFilters, volumeFilters } from "../../engine/volumes/filters.ts";
import type { Volume } from "../../engine/volumes/volume.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { sendArchive } from "../send-archive.ts";
import { body, query, truthy } from "../validation.ts";
import { versionOf } from "../version-prefix.ts";

const text = z.string().optional();
const listQuery = query(z.object({ filters: text }));
const removeQuery = query(z.object({ force: text }));
const createBody = body<VolumeCreate>(volumeCreateSchema);
const snapshotBody = body<z.output<typeof volumeSnapshotSchema>>(volumeSnapshotSchema);

export const volumeRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { volumes, volumeContents, sizeOfVolume } = engine;
  const target = ({ reference, caller }: { reference: string; caller: Caller }): Volume =>
    volumes.find(reference, caller);

  route(
    app,
    "GET",
    "/volumes",
    { permission: "volume:list", query: listQuery },
    ({ query: { filters }, caller }) => ({
      Volumes: volumes.list(caller, parseFilters(filters, volumeFilters)),
      Warnings: null,
    }),
  );

  route(app, "GET", "/volumes/:name", { permission: "volume:inspect", target }, ({ target: volume }) =>
    volumes.view(volume),
  );

  route(
    app,
    "POST",
    "/volumes/create",
    {
      permission: "volume:create",
      body: createBody,
      asked: ({ body: { Name, Driver, DriverOpts } }) => ({ Name, Driver, DriverOpts }),
    },
    async ({ body: { Name, Driver, DriverOpts, Labels, ClusterVolumeSpec }, caller, request, reply }) => {
      if (ClusterVolumeSpec)
        throw new EngineError(
          "unavailable",
          'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
        );
      const asked = { name: Name, driver: Driver, options: DriverOpts, labels: Labels };
      const volume = await volumes.create(asked, caller);
      request.trace.object = `volume/${volume.name}`;
      return reply.code(201).send(volumes.view(volume));
    },
  );

  route(app, "PUT", "/volumes/:name", { permission: "volume:update" }, () => {
    throw new EngineError(
      "unavailable",
      "volume update only valid for cluster volumes, but swarm is unavailable",
    );
  });

  route(
    app,
    "DELETE",
    "/volumes/:name",
    { permission: "volume:remove", query: removeQuery },
    ({ reference, query: { force }, caller, reply }) => {
      const volume = truthy(force) ? volumes.look(reference, caller) : volumes.find(reference, caller);
      if (volume) volumes.remove(volume);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/volumes/prune",
    { permission: "volume:prune", query: listQuery },
    ({ query: { filters }, caller, request }) => {
      const minor = Number(versionOf(request.raw).split(".")[1]);
      return volumes.prune(parseFilters(filters, pruneFilters(minor)), minor, caller, sizeOfVolume);
    },
  );

  route(
    app,
    "POST",
    "/tsd/volumes/:name/snapshot",
    {
      permission: "volume:snapshot",
      body: snapshotBody,
      target,
      asked: ({ body: { Name } }) => ({ Name }),
    },
    async ({ target: volume, body: { Name, Labels }, caller, reply }) => {
      const copy = await volumeContents.snapshot(volume, { name: Name, labels: Labels }, caller);
      return reply.code(201).send(volumes.view(copy));
    },
  );

  route(
    app,
    "GET",
    "/tsd/volumes/:name/archive",
    { permission: "volume:backup", target },
    async ({ target: volume, caller, reply }) => {
      await volumeContents.backup(volume, caller, (archive) => sendArchive(reply, archive, {}));
      return reply;
    },
  );

  route(
    app,
    "PUT",
    "/tsd/volumes/:name/archive",
    { permission: "volume:restore", rawBody: true },
    async ({ reference, caller, request }) => {
      const archive = (request.body as Readable | undefined) ?? Readable.from([]);
      return volumes.view(await volumeContents.restore(reference, archive, caller));
    },
  );
};
