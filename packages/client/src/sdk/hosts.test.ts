// Hosts: what each form means.
import { describe, expect, it } from "vitest";
import { describeTarget, hostHeader, parseHost } from "./hosts.ts";

const tcp = (host: string, port: number, encrypted = false, prefix = "") => ({
  kind: "tcp",
  host,
  port,
  encrypted,
  prefix,
});
const unix = (path: string) => ({ kind: "unix", path });
const ssh = (host: string, more = {}) => ({
  kind: "ssh",
  user: undefined,
  port: undefined,
  socket: undefined,
  host,
  ...more,
});

describe("hosts", () => {
  it.each<[string, unknown]>([
    ["", unix("/run/tsd.sock")],
    ["unix://", unix("/run/tsd.sock")],
    ["unix:///run/x.sock", unix("/run/x.sock")],
    [" unix:///run/x.sock ", unix("/run/x.sock")],
    ["/run/x.sock", unix("/run/x.sock")],
    ["tcp://", tcp("localhost", 2375)],
    ["tcp://h", tcp("h", 2375)],
    ["tcp://h:99", tcp("h", 99)],
    ["tcp://:99", tcp("localhost", 99)],
    ["h:99", tcp("h", 99)],
    [":99", tcp("localhost", 99)],
    ["10.0.0.1", tcp("10.0.0.1", 2375)],
    ["TCP://h:99/", tcp("h", 99)],
    ["tcp://h:99/base/", tcp("h", 99, false, "/base")],
    ["tcp://[::1]:99", tcp("::1", 99)],
    ["tcp://[::1]", tcp("::1", 2375)],
    ["tcp://[fe80::1%eth0]:99", tcp("fe80::1%eth0", 99)],
    ["http://h", tcp("h", 2375)],
    ["https://h", tcp("h", 2376, true)],
    ["https://h:443", tcp("h", 443, true)],
    ["ssh://h", ssh("h")],
    ["ssh://u@h:22/", ssh("h", { user: "u", port: "22" })],
    ["ssh://a%40b@[::1]:22/run/x.sock", ssh("::1", { user: "a@b", port: "22", socket: "/run/x.sock" })],
  ])("%j", (text, target) => {
    expect(parseHost(text)).toEqual(target);
  });
  it.each<[string, unknown]>([
    ["", tcp("localhost", 2376, true)],
    ["tcp://h", tcp("h", 2376, true)],
    ["tcp://h:2375", tcp("h", 2375, true)],
    ["h", tcp("h", 2376, true)],
    ["unix:///run/x.sock", unix("/run/x.sock")],
  ])("%j with TLS", (text, target) => {
    expect(parseHost(text, true)).toEqual(target);
  });
  it.each([
    ["ftp://x", "unable to parse docker host `ftp://x`"],
    ["fd://", "unable to parse docker host"],
    ["unix://run/x", "must be absolute"],
    ["tcp://h:0", "0 is no port"],
    ["tcp://h:65536", "65536 is no port"],
    ["tcp://h:x", "not HOST:PORT"],
    ["tcp://u@h", "not HOST:PORT"],
    ["tcp://h?x=1", "not HOST:PORT"],
    ["tcp://::1:99", "not HOST:PORT"],
    ["tcp://a b", "not HOST:PORT"],
    ["ssh://", "invalid SSH URL: hostname is empty"],
    ["ssh://u:secret@h", "invalid SSH URL: plain-text password is not supported"],
    ["ssh://h?x=1", "invalid SSH URL: query parameters are not allowed"],
    ["ssh://h#x", "invalid SSH URL: fragments are not allowed"],
    ["ssh://-oProxyCommand=x", "names cannot begin with a dash"],
    ["ssh://-oProxyCommand=x@h", "names cannot begin with a dash"],
  ])("%j is refused", (text, words) => {
    expect(() => parseHost(text)).toThrow(words);
  });
  it("http:// is never with TLS: what was asked for is not left out in silence", () => {
    expect(() => parseHost("http://h", true)).toThrow("http:// is without TLS");
  });
  it("are named as they were given", () => {
    for (const text of [
      "unix:///run/x.sock",
      "tcp://h:99",
      "tcp://[::1]:99",
      "tcp://h:99/base",
      "ssh://u@h:22/x",
      "ssh://h",
    ])
      expect(describeTarget(parseHost(text))).toBe(text);
    expect(hostHeader(parseHost("tcp://[fe80::1%eth0]:99"))).toBe("[fe80::1]:99");
    expect(hostHeader(parseHost(""))).toBe("localhost");
  });
});
