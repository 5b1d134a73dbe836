// Platforms: what this machine is, what was asked for, and which image of several fits best.
import type { Platform } from "../../registry/manifest.ts";
import { invalid, notFound } from "../errors.ts";

const goArchitecture: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm64: "arm64",
  arm: "arm",
};

export const hostPlatform = {
  architecture: goArchitecture[process.arch] ?? process.arch,
  os: "linux",
} as const;

export interface WantedPlatform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

const aliases: ReadonlyMap<string, readonly [architecture: string, variant?: string]> = new Map([
  ["x86_64", ["amd64"]],
  ["x86-64", ["amd64"]],
  ["aarch64", ["arm64"]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
  ["i386", ["386"]],
]);

/** What one word alone may be: as Go's toolchain calls them. */
const systems: ReadonlySet<string> = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux netbsd openbsd plan9 solaris windows zos".split(
    " ",
  ),
);
const architectures: ReadonlySet<string> = new Set(
  "386 amd64 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm".split(
    " ",
  ),
);

/** Reads os/architecture/variant, or one of the first two alone, as clients write it. */
export function parsePlatform(text: string): WantedPlatform {
  const parts = text.toLowerCase().split("/");
  const wrong = parts.find((part) => !/^[a-z0-9_.-]+$/.test(part));
  if (wrong !== undefined)
    throw invalid(
      `"${wrong}" is an invalid component of "${text}": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
    );
  if (parts.length > 3) throw invalid(`"${text}": cannot parse platform specifier: invalid argument`);
  const [first = "", second, third] = parts;
  const known = (name: string, variant?: string): { architecture: string; variant?: string | undefined } => {
    const [architecture, implied] = aliases.get(name) ?? [name];
    const own = variant ?? implied;
    // What goes without saying is not said.
    return own && !(architecture === "arm64" && own === "v8")
      ? { architecture, variant: own }
      : { architecture };
  };
  if (second) return { os: first, ...known(second, third) };
  const system = first === "macos" ? "darwin" : first;
  if (systems.has(system)) return { os: system, ...known(hostPlatform.architecture) };
  const { architecture, variant } = known(first);
  if (!architectures.has(architecture))
    throw invalid(`"${text}": unknown operating system or architecture: invalid argument`);
  return { os: "linux", architecture, ...(variant ? { variant } : {}) };
}

export const platformText = ({ os, architecture, variant }: WantedPlatform): string =>
  [os, architecture, variant].filter(Boolean).join("/");

const normalVariant = ({
  architecture,
  variant,
}: {
  architecture: string;
  variant?: string | undefined;
}): string => variant ?? (architecture === "arm" ? "v7" : architecture === "arm64" ? "v8" : "");

/** How well a platform fits, more is better; undefined when it does not. An older arm runs on a newer one. */
export function fit(wanted: WantedPlatform, offered: Platform | WantedPlatform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const [ask, have] = [normalVariant(wanted), normalVariant(offered)];
  if (ask === have) return 100;
  if (wanted.architecture === "amd64") return have === "" || ask === "" ? 50 : undefined;
  const [askNumber, haveNumber] = [Number(ask.slice(1)), Number(have.slice(1))];
  return haveNumber < askNumber ? haveNumber : undefined;
}

/** Throws for an image of another platform than is asked for, as if it were not there: clients pull the right one. */
export function requirePlatform(
  reference: string,
  wanted: WantedPlatform,
  actual: Platform | WantedPlatform,
): void {
  if (fit(wanted, actual) !== undefined) return;
  throw notFound(
    `image with reference ${reference} was found but does not match the specified platform: wanted ${platformText(wanted)}, actual: ${platformText(actual)}`,
  );
}
