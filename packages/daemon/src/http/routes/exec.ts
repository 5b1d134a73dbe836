// Routes: exec instances.
import type { FastifyPluginAsync } from "fastify";
import { execCreateSchema, execStartSchema } from "../../api/schemas/container-create.ts";
import { checkExec } from "../../engine/access/create-limits.ts";
import { encodeLogLine } from "../../engine/containers/log-encoding.ts";
import type { ExecInstance } from "../../engine/exec/service.ts";
import type { Engine } from "../engine.ts";
import { openStream } from "../hijack.ts";
import { containerTarget, type RouteOptions, route } from "../route.ts";
import { body, check } from "../validation.ts";
import { atLeast } from "../version-prefix.ts";
import { streamType } from "./container-streams.ts";
import { windowSize } from "./containers.ts";

const createBody = body(execCreateSchema);

export const execRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { execs } = engine;
  const target: RouteOptions<unknown, unknown, ExecInstance>["target"] = ({ reference, caller }) =>
    execs.find(reference, caller);

  route(
    app,
    "POST",
    "/containers/:id/exec",
    {
      permission: "container:exec",
      body: createBody,
      target: containerTarget(engine),
      asked: (call) => ({
        Program: call.body.Cmd?.[0] ?? "",
        User: call.body.User,
        ...(call.body.Privileged ? { Privileged: true } : {}),
      }),
    },
    async ({ target: container, reference, body: request, caller, reply }) => {
      checkExec(caller, request);
      return reply.code(201).send({ Id: execs.create(container, reference, request) });
    },
  );

  route(
    app,
    "POST",
    "/exec/:id/start",
    {
      permission: "container:exec",
      body: (value) => check(execStartSchema, value, "body"),
      target,
      asked: (call) => ({ Container: call.target.container.id }),
    },
    async ({ target: instance, body: options, request, reply }) => {
      const consoleSize = "ConsoleSize" in options ? (options.ConsoleSize ?? undefined) : undefined;
      execs.checkStartable(instance);
      if (options.Detach) {
        await execs.start(instance, { consoleSize });
        return reply.code(200).send();
      }
      // A terminal's bytes are framed for whoever does not say at the start that it is one.
      const terminal = instance.record.request.Tty;
      const framed = terminal && !options.Tty;
      const type = streamType(terminal && !framed, atLeast(request.raw, 42));
      const client = openStream(request, reply, type);
      await execs.start(instance, { consoleSize, client, framed }).catch((error: Error) => {
        // The stream has begun, so the reason goes there, and the exit code tells the rest.
        const line = { log: `${error.message}\r\n`, stream: "stdout", time: "" } as const;
        client.end(encodeLogLine(line, { timestamps: false, terminal: terminal && !framed }));
      });
      return reply;
    },
  );

  route(
    app,
    "POST",
    "/exec/:id/resize",
    { permission: "container:resize", query: windowSize, target },
    async ({ target: instance, query: { columns, rows }, reply }) => {
      await execs.resize(instance, columns, rows);
      return reply.code(200).send();
    },
  );

  route(app, "GET", "/exec/:id/json", { permission: "container:inspect", target }, (call) =>
    execs.inspect(call.target),
  );
};
