// Clients of older versions of the API: what their requests mean, and what answers to them have besides. Each change of the
// Engine API is at its version; up to 1.45 found by asking a dockerd in each, later ones by the API's description.
import type { IncomingMessage } from "node:http";
import type { ContainerCreate, ContainerUpdate } from "../api/schemas/container-create.ts";
import { invalid } from "../engine/errors.ts";
import { atLeast } from "./version-prefix.ts";

/** What a newer client is told about what it asked for. */
export const warningsFor = (request: IncomingMessage, { MacAddress }: ContainerCreate): string[] =>
  MacAddress && atLeast(request, 44)
    ? [
        "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.",
      ]
    : [];

const plainBind = {
  Propagation: "",
  NonRecursive: false,
  CreateMountpoint: false,
  ReadOnlyForceRecursive: false,
};

/** A container's creation as an older client means it. Throws for what did not exist yet and can't be left out. */
export function requestedBy(request: IncomingMessage, body: ContainerCreate): ContainerCreate {
  if (atLeast(request, 44)) return body;
  const networks = Object.keys(body.NetworkingConfig.EndpointsConfig);
  if (networks.length > 1)
    throw invalid(`Container cannot be created with multiple network endpoints: ${networks.join(", ")}`);
  const { Healthcheck } = body;
  const host = body.HostConfig;
  return {
    ...body,
    // What did not exist yet is not taken.
    Healthcheck: Healthcheck && { ...Healthcheck, StartInterval: 0 },
    HostConfig: {
      ...host,
      // Read-only binds were not so below.
      Mounts: host.Mounts.map((mount) =>
        mount.Type === "bind" && mount.ReadOnly
          ? { ...mount, BindOptions: { ...plainBind, ...mount.BindOptions, ReadOnlyNonRecursive: true } }
          : mount,
      ),
      ...(atLeast(request, 43) ? {} : { Annotations: {} }),
      ...(atLeast(request, 42) ? {} : { ConsoleSize: [0, 0] }),
      ...(atLeast(request, 40) || host.IpcMode ? {} : { IpcMode: "shareable" }),
    },
  };
}

/** An update as an older client means it: a limit of processes was not taken. */
export const updateBy = (request: IncomingMessage, update: ContainerUpdate): ContainerUpdate =>
  atLeast(request, 40) ? update : { ...update, PidsLimit: null };

/** An image of the list: its size was told twice. */
export const imageFor = <T extends { Size: number }>(request: IncomingMessage, image: T): T =>
  atLeast(request, 44) ? image : { ...image, VirtualSize: image.Size };

/** Of a container that an image was made from: nothing is known of one. */
const noContainer = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

/** An image inspected. Its configuration had all that a container's has. */
export function inspectedImageFor(request: IncomingMessage, image: { Config: object; Size: number }): object {
  if (atLeast(request, 50)) return image;
  return imageFor(request, {
    ...image,
    Config: { ...noContainer, ...image.Config },
    ...(atLeast(request, 45) ? {} : { ContainerConfig: noContainer }),
  });
}

interface InspectedContainer {
  Id: string;
  Config: { Hostname: string };
  NetworkSettings: { Networks: Record<string, Record<string, unknown>> };
}
const ownNetworks: ReadonlySet<string> = new Set(["bridge", "host", "none"]);

/** A container inspected: what it is called in networks was not told apart from its aliases. */
export function inspectedContainerFor<T extends InspectedContainer>(
  request: IncomingMessage,
  container: T,
): T {
  if (atLeast(request, 45)) return container;
  const { Networks } = container.NetworkSettings;
  const names = [container.Id.slice(0, 12), container.Config.Hostname].filter(Boolean);
  return {
    ...container,
    NetworkSettings: {
      ...container.NetworkSettings,
      Networks: Object.fromEntries(
        Object.entries(Networks).map(([name, endpoint]) => [
          name,
          ownNetworks.has(name)
            ? endpoint
            : {
                ...endpoint,
                Aliases: [...new Set([...((endpoint.Aliases as string[] | null) ?? []), ...names])],
              },
        ]),
      ),
    },
  };
}

/** What the engine tells of itself. */
export const informationFor = (request: IncomingMessage, information: object): object => ({
  ...information,
  ...(atLeast(request, 50) ? {} : { DiscoveredDevices: undefined }),
  ...(atLeast(request, 49) ? {} : { FirewallBackend: undefined }),
  ...(atLeast(request, 42) ? {} : { KernelMemory: false }),
  ...(atLeast(request, 25) ? {} : { ExecutionDriver: "<not supported>" }),
});

/** Whether a list of networks tells who is in them. */
export const listsMembers = (request: IncomingMessage): boolean => !atLeast(request, 28);
