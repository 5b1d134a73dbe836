// SELinux: whether the kernel enforces a policy, what types the host's policy has for containers, and files' labels.
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { KernelError } from "./errors.ts";
import { O_PATH, setAttributeOf } from "./libc.ts";

const FILE_SYSTEM = "/sys/fs/selinux";
const CONFIGURATION = "/etc/selinux";
const O_NOFOLLOW = 0o400000;

/** A context taken apart: user:role:type:level. */
export interface SelinuxContext {
  user: string;
  role: string;
  type: string;
  level: string;
}

/** Throws RangeError for what is no context with a level. */
export function parseSelinuxContext(text: string): SelinuxContext {
  const [user, role, type, ...level] = text.split(":");
  if (!user || !role || !type || level.length === 0 || !level[0])
    throw new RangeError(`not a SELinux context of user:role:type:level: ${JSON.stringify(text)}`);
  return { user, role, type, level: level.join(":") };
}

export const selinuxContext = ({ user, role, type, level }: SelinuxContext): string =>
  `${user}:${role}:${type}:${level}`;

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** How the kernel's SELinux stands; undefined where there is none, or no policy is loaded. */
export function selinuxMode(): "enforcing" | "permissive" | undefined {
  const enforcing = readOptional(`${FILE_SYSTEM}/enforce`);
  return enforcing === undefined ? undefined : enforcing.trim() === "1" ? "enforcing" : "permissive";
}

/** The contexts that the host's policy has for containers: of processes, and of their files (lxc_contexts, as
 * selinux_lxc_contexts_path(3) has it). Throws Error naming the file that lacks one. */
export function selinuxContainerContexts(): { process: SelinuxContext; file: SelinuxContext } {
  const settings = readOptional(`${CONFIGURATION}/config`) ?? "";
  const policy = /^\s*SELINUXTYPE\s*=\s*(\S+)/m.exec(settings)?.[1] ?? "targeted";
  const path = `${CONFIGURATION}/${policy}/contexts/lxc_contexts`;
  const text = readOptional(path) ?? "";
  const find = (name: string): SelinuxContext => {
    const value = new RegExp(`^\\s*${name}\\s*=\\s*"([^"]+)"`, "m").exec(text)?.[1];
    if (!value) throw new Error(`${path}: the host's policy names no context for ${name} of containers`);
    return parseSelinuxContext(value);
  };
  return { process: find("process"), file: find("file") };
}

/** Whether the loaded policy knows a context (it is checked by the kernel: selinuxfs's "context"). */
export function isSelinuxContext(context: string): boolean {
  try {
    writeFileSync(`${FILE_SYSTEM}/context`, `${context}\0`);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EINVAL") return false;
    throw error;
  }
}

/** Labels one file, not what it links to. File systems without labels are passed over. */
export function setSelinuxLabel(path: string, label: string): void {
  const EOPNOTSUPP = 95;
  const descriptor = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    setAttributeOf(descriptor, "security.selinux", Buffer.from(`${label}\0`));
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== EOPNOTSUPP) throw error;
  } finally {
    closeSync(descriptor);
  }
}
