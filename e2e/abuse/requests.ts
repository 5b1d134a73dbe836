// Requests that nobody should send, made from the API's description: wrong in what they say (paths, parameters, bodies), and
// wrong in how they say it (framing.ts).
import fc from "fast-check";
import { description } from "../api/contract.ts";
import {
  contentType,
  type Malformed,
  method,
  noHttp,
  oddHead,
  oddHeader,
  rightly,
  shown,
  tricky,
  wrongly,
} from "./framing.ts";
import { type Json, nastyText, schemaValues, spoilt } from "./values.ts";

interface Endpoint {
  method: string;
  path: string;
  query: readonly string[];
  body?: object | "bytes" | undefined;
}

/** Our own, and what others serve beside the API; POST /tsd/shutdown is left in peace. */
const others: readonly Endpoint[] = [
  ...["/metrics", "/tsd/whoami", "/tsd/routes", "/tsd/audit/key"].map((path) => ({
    method: "GET",
    path,
    query: [],
  })),
  {
    method: "GET",
    path: "/tsd/audit",
    query: ["since", "until", "caller", "action", "object", "result", "tail"],
  },
  { method: "POST", path: "/tsd/roles/check", query: [], body: { type: "object" } },
];

const endpoints: readonly Endpoint[] = [
  ...description.endpoints.map(({ method, path, parameters }) => {
    const body = parameters.find((one) => one.in === "body");
    const archive = method === "PUT" || /^\/(?:images\/load|images\/create|build)$/.test(path);
    return {
      method,
      path,
      query: parameters.filter((one) => one.in === "query").map(({ name }) => name),
      body: archive ? ("bytes" as const) : body?.schema,
    };
  }),
  ...others,
];

const values = schemaValues(description.definitions);

/** Every byte but the plain ones, as %XX; lone surrogates too, as what they become in UTF-8. */
const percent = (text: string): string =>
  [...Buffer.from(text, "utf8")]
    .map((byte) => {
      const plain = /[\w.~-]/.test(String.fromCharCode(byte)) && byte < 128;
      return plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");

const queryValue = fc.oneof(
  nastyText,
  fc.constantFrom(
    "1",
    "0",
    "true",
    "false",
    "10",
    "json",
    "all",
    "/tmp",
    "/etc/passwd",
    "running",
    "next-exit",
  ),
  fc
    .oneof(
      fc.dictionary(fc.constantFrom("label", "id", "status", "name", "before", "until", "x"), nastyText, {
        maxKeys: 2,
        noNullPrototype: true,
      }),
      fc.dictionary(
        fc.constantFrom("label", "id", "status", "name", "exited"),
        fc.array(nastyText, { maxLength: 2 }),
        {
          maxKeys: 2,
          noNullPrototype: true,
        },
      ),
    )
    .map((filters) => JSON.stringify(filters)),
);

function queries(names: readonly string[]): fc.Arbitrary<string> {
  const name =
    names.length > 0 ? fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...names) }, nastyText) : nastyText;
  return fc
    .array(fc.tuple(name, queryValue), { maxLength: 4 })
    .map((found) => found.map(([key, value]) => `${percent(key)}=${percent(value)}`).join("&"))
    .map((text) => (text === "" ? "" : `?${text}`));
}

const prefix = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom("", "/v1.51", "/v1.24", "/v1.41") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "/v1.99",
      "/v1.1",
      "/v0.51",
      "/v2.0",
      "/v1",
      "/v1.51/v1.51",
      "/v1.51.1",
      "//",
      "/v1.999999999999999999999",
    ),
  },
);

/** JSON text with something wrong about it as text. */
const brokenJson = (text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.tuple(text, fc.nat()).map(([whole, at]) => Buffer.from(whole.slice(0, at % (whole.length + 1)))),
    fc.tuple(text, nastyText).map(([whole, more]) => Buffer.from(whole + more)),
    text.map((whole) => Buffer.from(whole.replace("{", '{"Image":1,"image":"a",'))),
    text.map((whole) => Buffer.from(whole.replace("{", '{"__proto__":{"Image":"a"},"constructor":1,'))),
    text.map((whole) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(whole)])),
    text.map((whole) => Buffer.from(whole, "utf16le")),
    text.map((whole) => Buffer.concat([Buffer.from(whole), Buffer.from([0xff, 0xfe, 0x00, 0xc3])])),
    fc.nat({ max: 30_000 }).map((depth) => Buffer.from("[".repeat(depth))),
    fc
      .nat({ max: 30_000 })
      .map((depth) => Buffer.from(`${'{"HostConfig":'.repeat(depth)}1${"}".repeat(depth)}`)),
    fc.nat({ max: 30_000 }).map((count) => Buffer.from(`{"Cmd":[${"1,".repeat(count)}1]}`)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  );

/** Without these, no body gets further than the first check. */
const required: Readonly<Record<string, { [name: string]: Json }>> = {
  "/containers/create": { Image: "busybox", Cmd: ["true"] },
  "/containers/{id}/exec": { Cmd: ["true"] },
};

function bodies({ path, body }: Endpoint): fc.Arbitrary<Buffer> {
  const bytes = fc.uint8Array({ maxLength: 1500 }).map((found) => Buffer.from(found));
  if (body === undefined) return fc.oneof({ weight: 9, arbitrary: fc.constant(Buffer.alloc(0)) }, bytes);
  if (body === "bytes") return bytes;
  const base = required[path];
  const any = values(body);
  const sound = base
    ? fc.oneof(
        any,
        any.map((value): Json => Object.assign({}, base, value)),
        any.map((value): Json => Object.assign({}, value, base)),
      )
    : any;
  const text = spoilt(sound).map((value) => JSON.stringify(value));
  return fc.oneof(
    { weight: 6, arbitrary: text.map((found) => Buffer.from(found)) },
    { weight: 2, arbitrary: brokenJson(text) },
    { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
  );
}

/** One of the description's requests, with this or that wrong. */
function described(endpoint: Endpoint, references: fc.Arbitrary<string>): fc.Arbitrary<Malformed> {
  const path = fc
    .tuple(prefix, references, queries(endpoint.query))
    .map(
      ([version, reference, query]) =>
        `${version}${endpoint.path.replace(/\{\w+\}/g, () => percent(reference))}${query}`,
    );
  const framed = bodies(endpoint).chain((body) =>
    fc.oneof({ weight: 12, arbitrary: rightly(body) }, { weight: 1, arbitrary: wrongly(body) }),
  );
  return fc
    .tuple(method(endpoint.method), path, contentType, oddHeader, framed)
    .map(([verb, target, type, odd, frame]) => ({
      what: `${endpoint.method} ${endpoint.path}`,
      method: verb.name,
      bytes: Buffer.concat([
        Buffer.from(
          `${verb.name} ${target} HTTP/1.1\r\nHost: x\r\n${type}${odd}${frame.header}\r\n`,
          "latin1",
        ),
        frame.body,
      ]),
      whole: verb.whole && frame.whole,
      patient: /\/(?:stop|restart)$/.test(endpoint.path),
    }));
}

/** How often an endpoint is asked: what makes a process each time seldom, or there is no time for the others; and what is
 * not built hardly ever. */
function weightOf({ path }: Endpoint): number {
  if (path === "/containers/create") return 30;
  if (/\/(?:archive|export|changes|start|restart|commit|prune|load|build)$|^\/images\/create$/.test(path))
    return 2;
  if (/^\/(?:plugins|nodes|swarm|services|tasks|secrets|configs|distribution|session)/.test(path)) return 1;
  return 10;
}

/** Anything of the above; `names` are what requests can name so that they get further than a 404. */
export function malformedRequests(names: readonly string[]): fc.Arbitrary<Malformed> {
  const references = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(...names) },
    { weight: 1, arbitrary: nastyText },
  );
  const all = endpoints.map((endpoint) => ({
    weight: weightOf(endpoint),
    arbitrary: described(endpoint, references),
  }));
  const of = (weight: number, arbitrary: fc.Arbitrary<Malformed>) => ({ weight, arbitrary });
  return fc
    .oneof(of(20, fc.oneof(...all)), of(1, tricky), of(1, oddHead), of(1, noHttp))
    .filter(({ bytes }) => !/shutdown/i.test(bytes.toString("latin1", 0, 4096)))
    .map((request) => ({
      ...request,
      [fc.toStringMethod]: (): string => `${request.what}: ${shown(request.bytes)}`,
    }));
}
