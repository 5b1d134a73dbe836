// tsctl version, tsctl info.
import type { SystemInfo, SystemVersion } from "@tsd/daemon/api";
import { type Command, errorText, print } from "../context.ts";
import { parseFlags } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";

const clientVersion = {
  Version: "0.1.0",
  ApiVersion: "1.51",
  DefaultAPIVersion: "1.51",
  GitCommit: "",
  GoVersion: "",
  NodeVersion: process.version,
  Os: "linux",
  Arch: process.arch === "x64" ? "amd64" : process.arch,
};

const formatted = (format: string, value: unknown): string =>
  format === "json" ? JSON.stringify(value) : compileTemplate(format)(value);

function versionText(server: SystemVersion | undefined): string {
  const lines = [
    "Client: tsctl",
    ` Version:           ${clientVersion.Version}`,
    ` API version:       ${clientVersion.ApiVersion}`,
    ` Node version:      ${clientVersion.NodeVersion}`,
    ` OS/Arch:           ${clientVersion.Os}/${clientVersion.Arch}`,
  ];
  if (server)
    lines.push(
      "",
      "Server: tsd",
      " Engine:",
      `  Version:          ${server.Version}`,
      `  API version:      ${server.ApiVersion} (minimum version ${server.MinAPIVersion})`,
      `  Kernel version:   ${server.KernelVersion}`,
      `  OS/Arch:          ${server.Os}/${server.Arch}`,
    );
  return lines.join("\n");
}

export const version: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  const format = flags.text("format");
  let server: SystemVersion | undefined;
  let problem: unknown;
  try {
    server = await context.client.version();
  } catch (error) {
    problem = error;
  }
  if (format) await print(formatted(format, { Client: clientVersion, Server: server ?? null }));
  else await print(versionText(server));
  if (!problem) return 0;
  context.fail(errorText(problem));
  return 1;
};

const gibibytes = (bytes: number): string => `${Number((bytes / 2 ** 30).toPrecision(4))}GiB`;

function infoText(info: SystemInfo): string {
  return [
    "Client: tsctl",
    ` Version:    ${clientVersion.Version}`,
    "",
    "Server:",
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion}`,
    ` Storage Driver: ${info.Driver}`,
    ...info.DriverStatus.map(([name, value]) => `  ${name}: ${value}`),
    ` Logging Driver: ${info.LoggingDriver}`,
    ` Cgroup Driver: ${info.CgroupDriver}`,
    ` Cgroup Version: ${info.CgroupVersion}`,
    " Security Options:",
    ...info.SecurityOptions.map((option) => `  ${option.replace(/^name=([^,]+).*$/, "$1")}`),
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${gibibytes(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` ID: ${info.ID}`,
    ` Data Root: ${info.DockerRootDir}`,
    ...(info.Warnings ?? []),
  ].join("\n");
}

export const info: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  const format = flags.text("format");
  const answer = await context.client.info();
  await print(format ? formatted(format, answer) : infoText(answer));
  return 0;
};
