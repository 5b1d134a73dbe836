// Figures of the daemon for Prometheus.
import { readdirSync } from "node:fs";
import type { FastifyInstance } from "fastify";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Engine } from "./engine.ts";
import { route } from "./route.ts";

export class Metrics {
  readonly registry = new Registry();
  readonly #requests = new Counter({
    name: "tsd_http_requests_total",
    help: "Requests answered, by permission, method and status.",
    labelNames: ["permission", "method", "status"] as const,
    registers: [this.registry],
  });
  readonly #durations = new Histogram({
    name: "tsd_http_request_duration_seconds",
    help: "Time until a request was answered whole; streams last as long as they last.",
    labelNames: ["permission"] as const,
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers: [this.registry],
  });
  readonly #refusedConnections = new Counter({
    name: "tsd_connections_refused_total",
    help: "Connections that were refused, by reason.",
    labelNames: ["reason"] as const,
    registers: [this.registry],
  });

  // The library finds a figure by its labels anew each time, which takes longer than counting.
  readonly #requestsOf = memoised((permission: string, method: string, status: number) =>
    this.#requests.labels({ permission, method, status }),
  );
  readonly #durationOf = memoised((permission: string) => this.#durations.labels({ permission }));

  /** Figures that are read when they are asked for. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  refused(reason: string): void {
    this.#refusedConnections.inc({ reason });
  }

  /** Counts requests and serves the figures. */
  install(app: FastifyInstance): void {
    app.addHook("onResponse", (request, reply, done) => {
      const permission = request.routeOptions.config.permission ?? "none";
      this.#requestsOf(permission, request.method, reply.statusCode).inc();
      this.#durationOf(permission).observe(reply.elapsedTime / 1000);
      done();
    });
    route(app, "GET", "/metrics", { permission: "metrics:read" }, async ({ reply }) =>
      reply.type(this.registry.contentType).send(await this.registry.metrics()),
    );
  }
}

/** A function of few different arguments, each worked out once. */
function memoised<A extends readonly (string | number)[], R>(compute: (...args: A) => R): (...args: A) => R {
  const known = new Map<string, R>();
  return (...args) => {
    const key = args.join(" ");
    let result = known.get(key);
    if (result === undefined) {
      result = compute(...args);
      known.set(key, result);
    }
    return result;
  };
}

const startedAt = Date.now() - process.uptime() * 1000;

/** The daemon's own figures and the engine's. */
export function engineMetrics(engine: Engine): Metrics {
  const metrics = new Metrics();
  // Of the process itself only what costs nothing until it is read: the library's own set watches every collection of garbage.
  metrics.gauge("process_resident_memory_bytes", "Memory of the daemon.", () => process.memoryUsage.rss());
  metrics.gauge("process_cpu_seconds_total", "Processor time of the daemon.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge(
    "process_open_fds",
    "Files that the daemon has open.",
    () => readdirSync("/proc/self/fd").length,
  );
  metrics.gauge("process_start_time_seconds", "When the daemon started.", () => startedAt / 1000);
  new Gauge({
    name: "tsd_containers",
    help: "Containers there are, by state.",
    labelNames: ["state"] as const,
    registers: [metrics.registry],
    collect() {
      this.reset();
      for (const { state } of engine.containers.registry.all()) this.inc({ state: state.status });
    },
  });
  new Gauge({
    name: "tsd_drifts",
    help: "Drifts of running containers from their plans, as the last periodic verification saw them.",
    labelNames: ["severity"] as const,
    registers: [metrics.registry],
    collect() {
      for (const [severity, count] of Object.entries(engine.isolation.watch.counts()))
        this.set({ severity: severity as never }, count);
    },
  });
  metrics.gauge(
    "tsd_defence_events",
    "What containers did that they should not, since the daemon's start.",
    () => engine.isolation.defence.told,
  );
  metrics.gauge(
    "tsd_verification_rounds",
    "Periodic verifications there were.",
    () => engine.isolation.watch.rounds,
  );
  metrics.gauge("tsd_audit_records", "Records in the audit record.", () => engine.audit.length);
  return metrics;
}
