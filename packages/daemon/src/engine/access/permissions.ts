// What a role can allow: operations by resource and verb. Every route of the API declares one of them.

/** Verbs that only look: they are not written into the audit record (unless they were refused). */
const reading = {
  system: ["ping", "whoami", "version", "info", "df", "audit-config"],
  metrics: ["read"],
  event: ["read"],
  container: ["list", "inspect", "explain", "verify", "logs", "top", "stats", "changes", "wait"],
  image: ["list", "inspect", "search", "verify"],
  network: ["list", "inspect"],
  volume: ["list", "inspect"],
  policy: ["inspect"],
  chain: ["inspect"],
  plugin: ["list"],
  swarm: ["inspect"],
  audit: ["read"],
  role: ["check"],
} as const;

/** Verbs that change something, or carry something out of the engine that is not the caller's to begin with. */
const changing = {
  system: ["login", "shutdown"],
  container: [
    "create",
    "start",
    "stop",
    "restart",
    "kill",
    "pause",
    "rename",
    "update",
    "resize",
    "attach",
    "exec",
    "copy-out",
    "copy-in",
    "export",
    "commit",
    "checkpoint",
    "remove",
    "prune",
  ],
  image: ["create", "load", "save", "push", "sign", "tag", "remove", "prune"],
  build: ["run", "prune"],
  network: ["create", "connect", "remove", "prune"],
  volume: ["create", "update", "remove", "prune", "snapshot", "backup", "restore"],
  policy: ["apply", "remove"],
  chain: ["create", "remove"],
  plugin: ["change"],
  swarm: ["change"],
} as const;

type Pairs<T extends Readonly<Record<string, readonly string[]>>> = {
  [R in keyof T & string]: `${R}:${T[R][number]}`;
}[keyof T & string];

export type Permission = Pairs<typeof reading> | Pairs<typeof changing>;

const pairs = (table: Readonly<Record<string, readonly string[]>>): Permission[] =>
  Object.entries(table).flatMap(([resource, verbs]) =>
    verbs.map((verb) => `${resource}:${verb}` as Permission),
  );

const changes: ReadonlySet<Permission> = new Set(pairs(changing));
export const allPermissions: readonly Permission[] = [...pairs(reading), ...changes];

export const isChange = (permission: Permission): boolean => changes.has(permission);

/** What every caller may that has a role at all. */
export const everybodys: readonly Permission[] = ["system:ping", "system:whoami"];

/** The permissions that patterns allow: `container:start`, `container:*`, `*`. Throws for a pattern that names none. */
export function expandPatterns(patterns: readonly string[]): ReadonlySet<Permission> {
  const found = new Set<Permission>(everybodys);
  for (const pattern of patterns) {
    const [resource = "", verb] = pattern.split(":");
    const matching = allPermissions.filter(
      (permission) =>
        pattern === "*" ||
        permission === pattern ||
        (verb === "*" && permission.startsWith(`${resource}:`)) ||
        (resource === "*" && verb !== undefined && permission.endsWith(`:${verb}`)),
    );
    if (matching.length === 0) throw new Error(`"${pattern}" names no operation`);
    for (const permission of matching) found.add(permission);
  }
  return found;
}
