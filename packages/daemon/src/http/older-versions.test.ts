// What changes with the version of the API that a client asks for, as dockerd 26.1 answers in each.
import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { containerCreateSchema, containerUpdateSchema } from "../api/schemas/container-create.ts";
import {
  imageFor,
  informationFor,
  inspectedContainerFor,
  inspectedImageFor,
  requestedBy,
  updateBy,
} from "./older-versions.ts";
import { rewriteUrl } from "./version-prefix.ts";

function asked(minor: number): IncomingMessage {
  const request = { method: "GET", url: `/v1.${minor}/info` } as IncomingMessage;
  rewriteUrl(request);
  return request;
}

describe("requests of older clients", () => {
  it("name one network before 1.44, and no limit of processes in updates before 1.40", () => {
    const create = (networks: object) =>
      containerCreateSchema.parse({ Image: "i", NetworkingConfig: { EndpointsConfig: networks } });
    expect(() => requestedBy(asked(43), create({ a: {}, b: {} }))).toThrow(
      "multiple network endpoints: a, b",
    );
    expect(() => requestedBy(asked(43), create({ a: {} }))).not.toThrow();
    expect(() => requestedBy(asked(44), create({ a: {}, b: {} }))).not.toThrow();
    const update = containerUpdateSchema.parse({ PidsLimit: 5 });
    expect(updateBy(asked(39), update).PidsLimit).toBeNull();
    expect(updateBy(asked(40), update).PidsLimit).toBe(5);
  });
});

describe("answers to older clients", () => {
  it("tell an image's size twice before 1.44", () => {
    expect(imageFor(asked(43), { Size: 5 })).toEqual({ Size: 5, VirtualSize: 5 });
    expect(imageFor(asked(44), { Size: 5 })).toEqual({ Size: 5 });
  });

  it("give an image a container's configuration before 1.50, and a container's besides before 1.45", () => {
    const image = { Size: 5, Config: { Cmd: ["sh"], WorkingDir: "/" } };
    expect(inspectedImageFor(asked(50), image)).toEqual(image);
    const of49 = inspectedImageFor(asked(49), image);
    expect(of49).toMatchObject({ Config: { Cmd: ["sh"], WorkingDir: "/", Hostname: "", Tty: false } });
    expect(of49).not.toHaveProperty("ContainerConfig");
    expect(inspectedImageFor(asked(44), image)).toMatchObject({ ContainerConfig: { Cmd: null, Image: "" } });
  });

  it("call a container by its short id and host name before 1.45, in networks of users", () => {
    const container = {
      Id: "0123456789abcdef",
      Config: { Hostname: "host" },
      NetworkSettings: { Networks: { bridge: { Aliases: null }, own: { Aliases: ["a"] } } },
    };
    expect(inspectedContainerFor(asked(45), container)).toEqual(container);
    expect(inspectedContainerFor(asked(44), container).NetworkSettings.Networks).toEqual({
      bridge: { Aliases: null },
      own: { Aliases: ["a", "0123456789ab", "host"] },
    });
  });

  it("tell of what is no more", () => {
    expect(informationFor(asked(42), {})).toEqual({});
    expect(informationFor(asked(24), {})).toEqual({
      KernelMemory: false,
      ExecutionDriver: "<not supported>",
    });
  });
});

describe("requests of older clients", () => {
  const body = containerCreateSchema.parse({
    Image: "busybox",
    Healthcheck: { Test: ["CMD", "true"], StartInterval: 5 },
    HostConfig: {
      Annotations: { a: "b" },
      ConsoleSize: [10, 20],
      Mounts: [
        { Type: "bind", Source: "/x", Target: "/x", ReadOnly: true },
        { Type: "bind", Source: "/y", Target: "/y" },
      ],
    },
  });

  it("are taken as they are from 1.44 on", () => {
    expect(requestedBy(asked(44), body)).toBe(body);
  });

  it("lose what their version did not have, and mean what it meant", () => {
    const of43 = requestedBy(asked(43), body);
    expect(of43.Healthcheck?.StartInterval).toBe(0);
    expect(of43.HostConfig.Mounts.map(({ BindOptions }) => BindOptions?.ReadOnlyNonRecursive)).toEqual([
      true,
      undefined,
    ]);
    expect(of43.HostConfig).toMatchObject({ Annotations: { a: "b" }, ConsoleSize: [10, 20] });
    expect(requestedBy(asked(42), body).HostConfig.Annotations).toEqual({});
    expect(requestedBy(asked(41), body).HostConfig.ConsoleSize).toEqual([0, 0]);
    expect(requestedBy(asked(40), body).HostConfig.IpcMode).not.toBe("shareable");
    expect(requestedBy(asked(39), body).HostConfig.IpcMode).toBe("shareable");
  });
});
