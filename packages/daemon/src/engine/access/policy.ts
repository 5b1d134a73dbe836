// The roles file: roles of one's own, and who has which.
import { z } from "zod";
import { Caller, callerId, type Peer } from "./caller.ts";
import { expandPatterns } from "./permissions.ts";
import { builtInRoles, isCapability, type Role, strangersRole, strictLimits } from "./role.ts";

const absolute = z
  .string()
  .regex(/^\/(?:(?!\.\.?(?:\/|$))[^/]+(?:\/|$))*$/, "not an absolute path without . and ..");
const bytes = z.union([z.int().positive(), z.string().regex(/^\d+[bkmg]?$/i, "not a size such as 512m")]);
const capability = z
  .string()
  .transform((name) => name.toUpperCase().replace(/^CAP_/, ""))
  .refine(isCapability, { error: (issue) => `"${issue.input}" is no capability` });
const roleName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "not a role's name (a-z, 0-9, - and _)");

const limitsSchema = z.strictObject({
  privileged: z.boolean().default(strictLimits.privileged),
  hostNamespaces: z.array(z.enum(["network", "pid", "ipc", "uts", "cgroup", "user"])).default([]),
  bindSources: z.array(absolute.transform((path) => path.replace(/(?<=.)\/$/, ""))).default([]),
  capabilities: z.array(capability).default([]),
  devices: z.array(absolute).default([]),
  securityOptions: z.boolean().default(strictLimits.securityOptions),
  systemContainers: z.boolean().default(strictLimits.systemContainers),
  images: z.array(z.string().min(1)).optional(),
  memory: bytes.transform(sizeOf).optional(),
  cpus: z.number().positive().optional(),
  pids: z.int().positive().optional(),
  labels: z.record(z.string().min(1), z.string()).default({}),
});

const roleSchema = z.strictObject({
  allow: z.array(z.string()).superRefine((patterns, context) => {
    for (const [index, pattern] of patterns.entries())
      try {
        expandPatterns([pattern]);
      } catch (error) {
        context.addIssue({ code: "custom", path: [index], message: (error as Error).message });
      }
  }),
  scope: z.enum(["all", "own"]).default("own"),
  limits: limitsSchema.default(() => limitsSchema.parse({})),
  requestsPerSecond: z.int().positive().optional(),
});

const matchSchema = z
  .strictObject({
    commonName: z.string().min(1).optional(),
    organizationalUnit: z.string().min(1).optional(),
    alternativeName: z.string().min(1).optional(),
    uid: z.int().min(0).optional(),
    gid: z.int().min(0).optional(),
    anonymous: z.literal(true).optional(),
  })
  .refine((match) => Object.values(match).some((value) => value !== undefined), "matches nobody")
  .refine(
    (match) =>
      [
        match.commonName ?? match.organizationalUnit ?? match.alternativeName,
        match.uid ?? match.gid,
        match.anonymous,
      ].filter((value) => value !== undefined).length === 1,
    "asks for a certificate, a unix peer and anonymity together: no caller is more than one of them",
  );
type Match = z.output<typeof matchSchema>;

const fileSchema = z.strictObject({
  version: z.literal(1),
  roles: z.record(roleName, roleSchema).default({}),
  callers: z.array(z.strictObject({ match: matchSchema, role: roleName })).default([]),
  /** Whether a certificate's own word for its role (OU tsd:ROLE) counts where no entry matches. */
  certificateRoles: z.boolean().default(true),
  /** For those that nothing else gives a role; without them they have none. */
  defaults: z
    .strictObject({
      certificate: roleName.optional(),
      unix: roleName.optional(),
      anonymous: roleName.optional(),
    })
    .default({}),
});

function sizeOf(value: number | string): number {
  if (typeof value === "number") return value;
  const power = "bkmg".indexOf(value.at(-1)?.toLowerCase() ?? "");
  return Number.parseInt(value, 10) * 1024 ** Math.max(0, power);
}

const ROLE_UNIT = "tsd:";

/** Gives every peer its role. */
export class Policy {
  readonly roles: ReadonlyMap<string, Role>;
  readonly callers: readonly { match: Match; role: string }[];
  /** What is allowed but hardly meant. */
  readonly warnings: readonly string[];
  readonly #certificateRoles: boolean;
  readonly #defaults: Readonly<Partial<Record<Peer["kind"], string | undefined>>>;

  private constructor(parts: {
    roles: ReadonlyMap<string, Role>;
    callers: readonly { match: Match; role: string }[];
    certificateRoles: boolean;
    defaults: Partial<Record<Peer["kind"], string | undefined>>;
    warnings: readonly string[];
  }) {
    this.roles = parts.roles;
    this.callers = parts.callers;
    this.#certificateRoles = parts.certificateRoles;
    this.#defaults = parts.defaults;
    this.warnings = parts.warnings;
  }

  /** Without a roles file: everybody is admin, as for dockerd, but certificates that name another role. */
  static docker(): Policy {
    const roles = new Map(Object.entries(builtInRoles));
    const defaults = { certificate: "admin", unix: "admin", anonymous: "admin" };
    return new Policy({ roles, callers: [], certificateRoles: true, defaults, warnings: [] });
  }

  /** Throws for what is wrong with a roles file's content, naming the field. */
  static parse(content: unknown): Policy {
    const parsed = fileSchema.safeParse(content);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new Error(`${issue?.path.join(".") || "roles file"}: ${issue?.message}`);
    }
    const file = parsed.data;
    const roles = new Map<string, Role>(Object.entries(builtInRoles));
    for (const [name, { allow, scope, limits, requestsPerSecond }] of Object.entries(file.roles)) {
      if (name in builtInRoles) throw new Error(`roles.${name}: built in, and not to be changed`);
      roles.set(name, { name, permissions: expandPatterns(allow), scope, limits, requestsPerSecond });
    }
    const known = (role: string, field: string): void => {
      if (!roles.has(role)) throw new Error(`${field}: there is no role "${role}"`);
    };
    for (const [index, { role }] of file.callers.entries()) known(role, `callers.${index}.role`);
    for (const [kind, role] of Object.entries(file.defaults)) if (role) known(role, `defaults.${kind}`);
    return new Policy({ ...file, roles, warnings: warningsOf(file) });
  }

  callerOf(peer: Peer, from: string): Caller {
    const id = callerId(peer);
    // Root can read and write everything of the daemon's: to refuse it anything would only look like safety.
    if (peer.kind === "unix" && peer.uid === 0) return new Caller(id, from, builtInRoles.admin);
    if (peer.kind === "stranger")
      return new Caller(id, from, strangersRole, "a client certificate is required: none was given");
    const entry = this.callers.find(({ match }) => matches(match, peer));
    if (entry) return new Caller(id, from, this.roles.get(entry.role));
    const named = peer.kind === "certificate" && this.#certificateRoles ? namedRoles(peer) : [];
    if (named.length > 1)
      return new Caller(
        id,
        from,
        undefined,
        `${id} has no role: its certificate names more than one: ${named.join(", ")}`,
      );
    const [role = this.#defaults[peer.kind]] = named;
    if (role === undefined)
      return new Caller(id, from, undefined, `${id} has no role: the roles file gives it none`);
    const found = this.roles.get(role);
    return new Caller(
      id,
      from,
      found,
      found ? "" : `${id} has no role: its certificate names "${role}", which there is not`,
    );
  }
}

const namedRoles = (peer: Extract<Peer, { kind: "certificate" }>): string[] =>
  peer.organizationalUnits
    .filter((unit) => unit.startsWith(ROLE_UNIT))
    .map((unit) => unit.slice(ROLE_UNIT.length));

/** Everything that an entry asks for holds. */
function matches(match: Match, peer: Exclude<Peer, { kind: "stranger" }>): boolean {
  const asks = <T>(wanted: T | undefined, test: (value: T) => boolean): boolean =>
    wanted === undefined || test(wanted);
  if (peer.kind === "anonymous") return match.anonymous === true;
  if (match.anonymous) return false;
  if (peer.kind === "unix")
    return (
      (match.uid ?? match.gid) !== undefined &&
      asks(match.uid, (uid) => uid === peer.uid) &&
      asks(match.gid, (gid) => gid === peer.gid)
    );
  return (
    (match.uid ?? match.gid) === undefined &&
    asks(match.commonName, (name) => name === peer.commonName) &&
    asks(match.organizationalUnit, (unit) => peer.organizationalUnits.includes(unit)) &&
    asks(match.alternativeName, (name) => peer.alternativeNames.includes(name))
  );
}

function warningsOf(file: z.output<typeof fileSchema>): string[] {
  const found: string[] = [];
  for (const [kind, role] of Object.entries(file.defaults))
    if (role === "admin")
      found.push(`defaults.${kind}: everybody that nothing else matches is root on this machine`);
  for (const [name, { limits, allow }] of Object.entries(file.roles)) {
    if (!allow.some((pattern) => expandPatterns([pattern]).has("container:create"))) continue;
    if (limits.privileged)
      found.push(`roles.${name}.limits.privileged: its callers can become root on this machine`);
    if (limits.bindSources.includes("/"))
      found.push(`roles.${name}.limits.bindSources: "/" is every file of this machine`);
  }
  return found;
}
