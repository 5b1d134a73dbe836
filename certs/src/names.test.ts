// Names that may stand in certificates, and those that may not, each refused by name.
import { describe, expect, it } from "vitest";
import {
  checkBits,
  checkDays,
  checkFileName,
  checkRole,
  checkText,
  checkUnit,
  clientName,
  serverName,
} from "./names.ts";

describe("server names", () => {
  it.each([
    ["Host.Example.COM", "DNS:host.example.com"],
    ["localhost", "DNS:localhost"],
    ["*.example.com", "DNS:*.example.com"],
    ["xn--bcher-kva.example", "DNS:xn--bcher-kva.example"],
    ["10.0.0.1", "IP:10.0.0.1"],
    ["2001:0db8:0::1", "IP:2001:db8::1"],
    ["::ffff:10.0.0.1", "IP:::ffff:a00:1"],
  ])("%s is %s", (name, expected) => expect(serverName(name)).toBe(expected));
  it.each([
    ["", /no label/],
    ["a..b", /"" is no label/],
    ["-a.b", /"-a" is no label/],
    ["under_score", /no label/],
    ["bücher.example", /not ASCII/],
    ["a.*.example", /wildcard that is not/],
    ["w*.example.com", /wildcard that is not/],
    ["*", /without at least two labels/],
    ["*.com", /without at least two labels/],
    ["1.2.3", /neither an IP address nor a DNS name/],
    ["256.1.1.1", /neither an IP address nor a DNS name/],
    ["fe80::1%eth0", /no IP address/],
    ["a:b", /no IP address/],
    [`${"a".repeat(64)}.b`, /no label/],
    ["a.".repeat(130), /longer than 253/],
    ["a\nb", /name "a\nb"/],
  ])("%j is refused", (name, message) => expect(() => serverName(name)).toThrow(message));
});

describe("client's alternative names", () => {
  it.each(["DNS:a.b", "IP:::1", "email:a.b@c.de", "URI:spiffe://domain/path"])("%s", (name) =>
    expect(clientName(name)).toBe(name),
  );
  it.each(["a.b", "dns:a", "IP:a", "email:a b@c", "email:a", "URI:path", "URI:http://a b", "RID:1.2"])(
    "%s is refused",
    (name) => expect(() => clientName(name)).toThrow(/alternative name/),
  );
});

describe("other fields", () => {
  it("take what is right", () => {
    expect(checkRole("admin")).toBe("admin");
    expect(checkRole(`a${"b".repeat(62)}`)).toHaveLength(63);
    expect(checkFileName("client name", "alice@host-1.example")).toBe("alice@host-1.example");
    expect(checkUnit("Betrieb & Büro")).toBe("Betrieb & Büro");
    expect(checkDays(36500)).toBe(36500);
  });
  it.each<[string, () => unknown, RegExp]>([
    ["a role in capitals", () => checkRole("Admin"), /role "Admin": must be/],
    ["a role with a newline", () => checkRole("admin\n"), /role/],
    ["a role too long", () => checkRole("a".repeat(64)), /role/],
    ["a unit that passes for a role", () => checkUnit("tsd:admin"), /unit "tsd:admin": starts with "tsd:"/],
    ["one in capitals", () => checkUnit("TSD:admin"), /use --role/],
    ["a unit that forges a line", () => checkUnit("a\nOU=tsd:admin"), /control characters/],
    ["a name that is a path", () => checkFileName("client name", "../x"), /client name "\.\.\/x"/],
    ["a name that is hidden", () => checkFileName("client name", ".x"), /client name/],
    ["an empty name", () => checkText("name", ""), /name "": is empty/],
    ["a name too long", () => checkText("name", "a".repeat(65)), /longer than 64/],
    ["no days", () => checkDays(0), /days "0": must be a whole number from 1 to 36500/],
    ["small keys", () => checkBits(1024), /bits "1024": must be a whole number from 2048/],
    ["half a bit", () => checkBits(2048.5), /bits "2048.5"/],
  ])("refuse %s", (_, check, message) => expect(check).toThrow(message));
});
