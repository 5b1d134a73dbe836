// Platforms as clients name them: os, os/architecture, os/architecture/variant, or an architecture.
import { invalid } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";

const systems = ["linux", "windows", "darwin", "freebsd"];
const architectures: Readonly<Record<string, string>> = {
  amd64: "amd64",
  x86_64: "amd64",
  "x86-64": "amd64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  armhf: "arm",
  "386": "386",
  i386: "386",
  ppc64le: "ppc64le",
  s390x: "s390x",
  riscv64: "riscv64",
  mips64le: "mips64le",
  loong64: "loong64",
};

interface Platform {
  os: string;
  architecture: string | undefined;
}

/** Throws for what is no platform. */
function parsePlatform(text: string): Platform {
  const [first = "", second] = text.toLowerCase().split("/");
  const refuse = (): Error =>
    invalid(`${JSON.stringify(text)}: unknown operating system or architecture: invalid argument`);
  if (second === undefined) {
    if (systems.includes(first)) return { os: first, architecture: undefined };
    if (!architectures[first]) throw refuse();
    return { os: "linux", architecture: architectures[first] };
  }
  if (!systems.includes(first) || !architectures[second]) throw refuse();
  return { os: first, architecture: architectures[second] };
}

export function checkPlatform(text: string): void {
  if (text) parsePlatform(text);
}

/** Whether an image is for a platform; every image is for "". */
export function fitsPlatform({ config }: ImageRecord, text: string): boolean {
  if (!text) return true;
  const { os, architecture } = parsePlatform(text);
  return config.os === os && (architecture === undefined || config.architecture === architecture);
}
