// The client's pure parts: flags to requests, the response parser, streams, templates, tables.
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { createFlags } from "./create/flags.ts";
import { attachedStreams, createRequest } from "./create/request.ts";
import { filtersJson, parseBytes, parseFlags } from "./flags.ts";
import { renderTable } from "./output/table.ts";
import { compileTemplate } from "./output/template.ts";
import { humanSize } from "./output/units.ts";
import { demultiplex } from "./sdk/multiplex.ts";
import { ResponseParser } from "./sdk/response-parser.ts";
import { collect } from "./sdk/transport.ts";

const request = (...words: string[]) => {
  const flags = parseFlags(words, createFlags, true);
  const [image = "", ...command] = flags.args;
  return createRequest(flags, image, command, attachedStreams(flags, false), [24, 80]);
};

describe("flags", () => {
  it("stop at the image", () => {
    const flags = parseFlags(["-it", "--rm", "-e", "A=1", "busybox", "ls", "-l"], createFlags, true);
    expect([flags.bool("tty"), flags.bool("interactive"), flags.args]).toEqual([
      true,
      true,
      ["busybox", "ls", "-l"],
    ]);
  });
  it("become a request", () => {
    expect(
      request(
        "-m",
        "64m",
        "--cpus=1.5",
        "-p",
        "127.0.0.1:8080:80/udp",
        "-v",
        "/a:/b:ro",
        "-v",
        "/anon",
        "--ulimit",
        "nofile=1:2",
        "-l",
        "a=b",
        "busybox",
        "true",
      ),
    ).toMatchObject({
      Image: "busybox",
      Cmd: ["true"],
      Labels: { a: "b" },
      Volumes: { "/anon": {} },
      ExposedPorts: { "80/udp": {} },
      HostConfig: {
        Memory: 64 << 20,
        NanoCpus: 1.5e9,
        Binds: ["/a:/b:ro"],
        PortBindings: { "80/udp": [{ HostIp: "127.0.0.1", HostPort: "8080" }] },
        Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
      },
    });
    expect(request("--mount", "type=bind,src=/a,dst=/b,ro", "x").HostConfig?.Mounts).toEqual([
      { Type: "bind", Source: "/a", Target: "/b", ReadOnly: true },
    ]);
    const volume =
      'type=volume,src=v,dst=/b,volume-subpath=a/b,volume-opt=type=nfs,"volume-opt=o=addr=h,rw",volume-label=a=b';
    expect(request("--mount", volume, "x").HostConfig?.Mounts).toEqual([
      {
        Type: "volume",
        Source: "v",
        Target: "/b",
        VolumeOptions: {
          Subpath: "a/b",
          DriverConfig: { Options: { type: "nfs", o: "addr=h,rw" } },
          Labels: { a: "b" },
        },
      },
    ]);
    expect(request("-i", "x")).toMatchObject({ OpenStdin: true, StdinOnce: true, AttachStdin: true });
  });
  it("are refused by name", () => {
    expect(() => request("--nosuch", "x")).toThrow("unknown flag: --nosuch");
    expect(() => request("-m", "much", "x")).toThrow("invalid size: 'much'");
    expect(() => request("--ulimit", "nofile=5:1", "x")).toThrow(
      "soft limit must be less than or equal to hard limit",
    );
    expect(() => parseFlags(["-e"], createFlags)).toThrow("flag needs an argument: 'e' in -e");
  });
  it("sizes and filters", () => {
    expect([parseBytes("m", "1g"), parseBytes("m", "-1"), parseBytes("m", "1.5k")]).toEqual([
      1 << 30,
      -1,
      1536,
    ]);
    expect(filtersJson(["label=a=b", "label=c"])).toBe('{"label":{"a=b":true,"c":true}}');
  });
});

describe("response parser", () => {
  const parse = (chunks: readonly string[], withoutBody = false) => {
    const told: string[] = [];
    const parser = new ResponseParser(
      {
        head: ({ status }) => told.push(String(status)),
        data: (chunk) => told.push(chunk.toString()),
        end: () => told.push("end"),
      },
      withoutBody,
    );
    for (const chunk of chunks) parser.push(Buffer.from(chunk));
    return { told, parser };
  };
  it("lengths, chunks, none, whatever the pieces", () => {
    expect(parse(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]).told).toEqual([
      "200",
      "hello",
      "end",
    ]);
    const chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    expect(parse([chunked]).told).toEqual(["200", "abc", "de", "end"]);
    expect(parse([...chunked]).told.join("")).toBe("200abcdeend");
    expect(parse(["HTTP/1.1 204 No Content\r\n\r\n"]).told).toEqual(["204", "end"]);
    expect(parse(["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).told).toEqual(
      ["200", "end"],
    );
    expect(parse(["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"], true).told).toEqual(["200", "end"]);
  });
  it("raw streams after an upgrade", () => {
    expect(parse(["HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nraw", "\r\n\r\n"]).told).toEqual([
      "101",
      "raw",
      "\r\n\r\n",
    ]);
  });
  it("refuses nonsense and early ends", () => {
    expect(() => parse(["SSH-2.0-x\r\n\r\n"])).toThrow("not an HTTP response");
    expect(() => parse(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]).parser.close()).toThrow(
      "in the middle",
    );
  });
});

describe("multiplexed streams", () => {
  it("go where they belong, whatever the pieces", async () => {
    const frame = (kind: number, text: string) =>
      Buffer.concat([Buffer.from([kind, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
    const all = Buffer.concat([frame(1, "out"), frame(2, "err"), frame(1, "more")]);
    for (const size of [1, 5, 100]) {
      const [source, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      for (let at = 0; at < all.length; at += size) source.write(all.subarray(at, at + size));
      source.end();
      await demultiplex(source, stdout, stderr);
      stdout.end();
      stderr.end();
      expect([(await collect(stdout)).toString(), (await collect(stderr)).toString()]).toEqual([
        "outmore",
        "err",
      ]);
    }
  });
});

describe("templates", () => {
  const value = { Name: "x", List: ["a", "b"], Map: { k: 1, j: 2 }, State: { Running: true }, Empty: [] };
  it.each([
    ["{{.Name}} {{.State.Running}}", "x true"],
    ["{{json .List}}", '["a","b"]'],
    ["{{range .List}}<{{.}}>{{end}}", "<a><b>"],
    ["{{range $k, $v := .Map}}{{$k}}={{$v}} {{end}}", "j=2 k=1 "],
    ["{{if .Empty}}yes{{else}}no{{end}}", "no"],
    ["{{if .Empty}}a{{else if .Name}}b{{else}}c{{end}}!", "b!"],
    ['{{index .List 1}} {{len .List}} {{index .Map "k"}}', "b 2 1"],
    ['{{.Name | upper | printf "%s-%s" "a"}}', "a-X"],
    ['{{join .List ", "}}', "a, b"],
    ['{{with .State}}{{.Running}}{{end}} {{eq .Name "x"}}', "true true"],
    ["{{.List}} {{.Map}}", "[a b] map[j:2 k:1]"],
    ['a{{- " b " -}}c', "a b c"],
  ])("%s", (source, text) => {
    expect(compileTemplate(source)(value)).toBe(text);
  });
  it("refuse what is malformed", () => {
    expect(() => compileTemplate("{{if .X}}")(value)).toThrow("unexpected EOF");
    expect(() => compileTemplate("{{nosuch .X}}")(value)).toThrow('function "nosuch" not defined');
  });
});

describe("output", () => {
  it("tables, sizes", () => {
    expect(
      renderTable([
        ["A", "LONG"],
        ["abc", "d"],
      ]),
    ).toBe("A         LONG\nabc       d\n");
    expect([humanSize(0), humanSize(1980000), humanSize(123456)]).toEqual(["0B", "1.98MB", "123kB"]);
  });
});
