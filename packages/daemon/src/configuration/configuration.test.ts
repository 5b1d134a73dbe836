// Flags, the configuration file, and the settings they make.
import { describe, expect, it } from "vitest";
import { parseEndpoint } from "./endpoints.ts";
import { parseConfiguration } from "./file.ts";
import { readFlags } from "./flags.ts";
import { compareGiven, makeSettings, mergeGiven } from "./settings.ts";

const FILES = 10_000;
const settingsOf = (...words: string[]) => makeSettings(readFlags(words), FILES);

describe("flags", () => {
  it("are dockerd's, long, short, with = and as a word", () => {
    expect(
      readFlags(["-D", "-H", "unix:///a", "--host=tcp://b:1", "--mtu", "1400", "--iptables=false"]),
    ).toEqual({
      debug: true,
      host: ["unix:///a", "tcp://b:1"],
      mtu: 1400,
      iptables: false,
    });
  });
  it("are read in all of dockerd's spellings", () => {
    for (const words of [["-H=tcp://a:1"], ["-Htcp://a:1"], ["-H", "tcp://a:1"], ["--host", "tcp://a:1"]])
      expect(readFlags(words), words.join(" ")).toEqual({ host: ["tcp://a:1"] });
    expect(readFlags(["-D=false", "--tlsverify=true"])).toEqual({ debug: false, tlsverify: true });
    expect(() => readFlags(["-x=1"])).toThrow("--x");
  });
  it("that are wrong are named", () => {
    expect(() => readFlags(["--nosuch"])).toThrow("--nosuch");
    expect(() => readFlags(["--mtu", "much"])).toThrow("--mtu much");
    expect(() => readFlags(["--iptables=perhaps"])).toThrow("--iptables perhaps");
    expect(() => settingsOf("--mtu", "1")).toThrow("--mtu 1");
    expect(() => settingsOf("--socket-mode", "999")).toThrow("--socket-mode 999");
    expect(() => settingsOf("--label", "novalue")).toThrow("--label novalue");
    expect(() => settingsOf("--max-connections", "20000")).toThrow("10000 files");
  });
});

describe("the configuration file", () => {
  it("takes dockerd's keys", () => {
    expect(
      parseConfiguration(
        '{"hosts":["unix:///x"],"labels":["a=b"],"data-root":"/d","live-restore":true}',
        "f",
      ),
    ).toEqual({ host: ["unix:///x"], label: ["a=b"], "data-root": "/d" });
    expect(parseConfiguration("", "f")).toEqual({});
  });
  it("is refused with the key and the reason", () => {
    expect(() => parseConfiguration("{", "f")).toThrow("configuration file f");
    expect(() => parseConfiguration("[]", "f")).toThrow("not a JSON object");
    expect(() => parseConfiguration('{"mtu":"big"}', "f")).toThrow("mtu:");
    expect(() => parseConfiguration('{"nosuch":1,"other":2}', "f")).toThrow("not built yet: nosuch, other");
    expect(() => parseConfiguration('{"live-restore":false}', "f")).toThrow("live-restore: only true");
    expect(() => parseConfiguration('{"validate":true}', "f")).toThrow("validate");
  });
  it("and a flag for the same thing are a conflict", () => {
    expect(() => mergeGiven({ debug: true }, { debug: false }, "f")).toThrow(
      "debug: (from flag: true, from file: false)",
    );
    expect(mergeGiven({ debug: true }, { mtu: 1400 }, "f")).toEqual({ debug: true, mtu: 1400 });
  });
  it("says what can be taken up without a restart", () => {
    expect(compareGiven({ mtu: 1 }, { mtu: 2, debug: true, label: ["a=b"] })).toEqual({
      restart: ["mtu"],
      changed: ["debug", "label", "mtu"].sort((a, b) => order(a) - order(b)),
    });
  });
});
const order = (name: string): number => ["debug", "label", "mtu"].indexOf(name);

describe("hosts", () => {
  it("are read as dockerd reads them", () => {
    expect(parseEndpoint("unix:///run/x.sock", false)).toEqual({ kind: "unix", path: "/run/x.sock" });
    expect(parseEndpoint("tcp://", false)).toEqual({ kind: "tcp", host: "127.0.0.1", port: 2375 });
    expect(parseEndpoint("tcp://:2376", true)).toEqual({ kind: "tcp", host: "0.0.0.0", port: 2376 });
    expect(parseEndpoint("tcp://[::1]", true)).toEqual({ kind: "tcp", host: "::1", port: 2376 });
    expect(parseEndpoint("fd://", false)).toEqual({ kind: "fd", descriptor: undefined });
    expect(parseEndpoint("fd://4", false)).toEqual({ kind: "fd", descriptor: 4 });
  });
  it("that are none are refused", () => {
    for (const wrong of [
      "unix://rel",
      "npipe://x",
      "tcp://a:99999",
      "tcp://[zz]",
      "fd://x",
      "ssh://h",
      "tcp://a/b",
    ])
      expect(() => parseEndpoint(wrong, false), wrong).toThrow(`-H ${wrong}`);
  });
  it("beyond loopback take certificates, or one's word for it", () => {
    expect(() => settingsOf("-H", "tcp://0.0.0.0")).toThrow("refused without --tlsverify");
    expect(() => settingsOf("-H", "tcp://0.0.0.0", "--tls")).toThrow("refused without --tlsverify");
    expect(settingsOf("-H", "tcp://127.0.0.1").warnings[0]).toContain("DANGER");
    expect(settingsOf("-H", "tcp://0.0.0.0", "--allow-unauthenticated-tcp").warnings[0]).toContain(
      "whoever reaches it",
    );
    expect(settingsOf("-H", "tcp://0.0.0.0", "--tlsverify").warnings).toEqual([]);
    expect(() => settingsOf("--tlsverify", "--tls=false")).toThrow("contradict");
  });
});
