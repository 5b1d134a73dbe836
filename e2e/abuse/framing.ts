// How requests are said, apart from what they say: content types, odd headers, lengths that are right and wrong, methods, paths
// that try to be others, heads with something wrong, and bytes that are no HTTP.
import fc from "fast-check";
import { nastyText } from "./values.ts";
import type { Sent } from "./wire.ts";

export interface Malformed extends Sent {
  /** For reports: what it means to be. */
  what: string;
}

/** Bytes for a report. */
export function shown(bytes: Buffer): string {
  const text = bytes
    .toString("latin1")
    .replace(/(.)\1{50,}/gs, (run, one: string) => `${one}<${run.length} times>`);
  return JSON.stringify(text.length > 1500 ? `${text.slice(0, 1500)}… (${text.length})` : text);
}

export const contentType = fc.oneof(
  { weight: 6, arbitrary: fc.constant("Content-Type: application/json\r\n") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "",
      "Content-Type: \r\n",
      "Content-Type: text/plain\r\n",
      "Content-Type: application/x-tar\r\n",
      "Content-Type: multipart/form-data\r\n",
      "Content-Type: application/json; charset=utf-7\r\n",
      "Content-Type: ;;;=\r\n",
      "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
      "Content-Encoding: gzip\r\n",
    ),
  },
);

/** Headers that are odd, but leave the message's length alone. */
export const oddHeader = fc.oneof(
  { weight: 12, arbitrary: fc.constant("") },
  fc.constantFrom(
    "Expect: 100-continue\r\n",
    "Expect: the unexpected\r\n",
    "Connection: keep-alive, , close\r\n",
    "Accept: \r\n",
    "X-Registry-Auth: !!!\r\n",
    "X-Registry-Config: e30=\r\n",
    "Accept-Encoding: gzip;q=NaN\r\n",
    "Origin: null\r\n",
    "Range: bytes=9-1\r\n",
    "If-None-Match: *\r\n",
    "Authorization: Basic ::::\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "Accept-Version: 99\r\n",
    "Cookie: ;;;;\r\n",
  ),
  fc.nat({ max: 300 }).map((count) => "X-Many: 1\r\n".repeat(count)),
  fc.nat({ max: 30_000 }).map((length) => `X-Long: ${"a".repeat(length)}\r\n`),
  fc
    .string({
      unit: fc.integer({ min: 0xa0, max: 0xff }).map((code) => String.fromCharCode(code)),
      maxLength: 20,
    })
    .map((text) => `X-Latin: ${text}\r\n`),
);

/** How a body's length is told: rightly, */
export const rightly = (body: Buffer): fc.Arbitrary<{ header: string; body: Buffer; whole: boolean }> =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.constant({ header: `Content-Length: ${body.length}\r\n`, body, whole: true }),
    },
    {
      weight: 1,
      arbitrary: fc.constant({
        header: "Transfer-Encoding: chunked\r\n",
        body: Buffer.concat([
          ...(body.length > 0
            ? [Buffer.from(`${body.length.toString(16)};ext="1"\r\n`), body, Buffer.from("\r\n")]
            : []),
          Buffer.from("0\r\n\r\n"),
        ]),
        whole: true,
      }),
    },
  );

/** and wrongly. */
export const wrongly = (body: Buffer): fc.Arbitrary<{ header: string; body: Buffer; whole: boolean }> =>
  fc
    .oneof(
      fc.constantFrom(
        `Content-Length: ${body.length + 10}`,
        `Content-Length: ${Math.max(0, body.length - 1)}`,
        `Content-Length: ${body.length}\r\nContent-Length: ${body.length + 1}`,
        `Content-Length: ${body.length}\r\nTransfer-Encoding: chunked`,
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 0x10",
        "Content-Length: ",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 7",
        "Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: -7",
        "Upgrade: tcp\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked",
        "Upgrade: tcp\r\nConnection: Upgrade",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA",
      ),
      nastyText.map((text) => `Content-Length: ${text}`),
    )
    .chain((header) =>
      fc
        .constantFrom(
          "",
          "zz\r\n",
          "ffffffffffffffff\r\nx",
          "5\r\nab",
          "3\r\nabcdef\r\n0\r\n\r\n",
          "0\r\nX: y\r\n\r\n",
          "-1\r\n",
        )
        .map((chunk) => ({
          header: `${header}\r\n`,
          body: header.includes("chunked") ? Buffer.concat([Buffer.from(chunk), body]) : body,
          whole: false,
        })),
    );

export const method = (usual: string): fc.Arbitrary<{ name: string; whole: boolean }> =>
  fc.oneof(
    { weight: 20, arbitrary: fc.constant({ name: usual, whole: true }) },
    {
      weight: 2,
      arbitrary: fc
        .constantFrom(
          "GET",
          "POST",
          "PUT",
          "DELETE",
          "HEAD",
          "PATCH",
          "OPTIONS",
          "TRACE",
          "PROPFIND",
          "QUERY",
          "SEARCH",
        )
        .map((name) => ({ name, whole: name !== "QUERY" })),
    },
    {
      weight: 1,
      arbitrary: fc
        .oneof(
          fc.constantFrom("CONNECT", "get", "PRI", "G E T", "", "\0", "GET\t", "A".repeat(10_000)),
          nastyText,
        )
        .map((name) => ({ name, whole: false })),
    },
  );

/** Paths that try to be others, after the method's space. */
const trickyPath = fc.oneof(
  fc.constantFrom(
    "*",
    "",
    "?",
    "#",
    "//",
    "///containers//json",
    "/containers/../containers/json",
    "/%2e%2e/containers/json",
    "/containers%2fjson",
    "/containers/json/",
    "/containers/json;a=b",
    "/CONTAINERS/JSON",
    "/containers/%00/json",
    "/containers/%/json",
    "/containers/%ff%fe/json",
    "/containers/abuse-running%2f..%2fabuse-created/json",
    "/containers//json/json",
    "\\containers\\json",
    "http://elsewhere.invalid/containers/json",
    "http://[::1/containers/json",
    "https:///_ping",
    "/_ping HTTP/1.1 /info",
    "/images/a//b/json",
    "/images/../../etc/passwd/json",
    "/images/%2f%2f/history",
    "/exec/%00/start",
  ),
  nastyText.map((text) => `/containers/${text}/json`),
  nastyText.map((text) => `/${text}`),
  fc.nat({ max: 70_000 }).map((length) => `/${"a/".repeat(length / 2)}`),
);

const HEAD_ENDS = ["\r\n", "\n", "\r", ""] as const;

export const tricky: fc.Arbitrary<Malformed> = fc
  .tuple(fc.constantFrom("GET", "POST", "DELETE"), trickyPath)
  .map(([verb, path]) => ({
    what: "a path that tries to be another",
    method: verb,
    bytes: Buffer.from(`${verb} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`),
    whole: false,
    patient: false,
  }));

export const oddHead: fc.Arbitrary<Malformed> = fc
  .tuple(
    fc.constantFrom(
      "HTTP/1.1",
      "HTTP/1.0",
      "HTTP/0.9",
      "HTTP/2.0",
      "HTTP/9.9",
      "http/1.1",
      "HTTP/1.1 x",
      "RTSP/1.0",
      "",
    ),
    fc.oneof(
      fc.constantFrom(
        "",
        "Host: a\r\nHost: b\r\n",
        "Host:\r\n",
        "no colon\r\n",
        ": empty\r\n",
        " folded: 1\r\n",
        "A: b\r\n c: d\r\n",
      ),
      nastyText.map((text) => `${text}: x\r\n`),
      nastyText.map((text) => `X: ${text}\r\n`),
      fc.nat({ max: 90_000 }).map((length) => `X: ${"a".repeat(length)}\r\n`),
      fc.nat({ max: 4000 }).map((count) => "A: b\r\n".repeat(count)),
    ),
    fc.constantFrom(...HEAD_ENDS),
  )
  .map(([version, headers, end]) => ({
    what: "a head with something wrong",
    method: "GET",
    bytes: Buffer.from(`GET /_ping ${version}\r\n${headers}${end}`),
    whole: false,
    patient: false,
  }));

export const noHttp: fc.Arbitrary<Malformed> = fc
  .oneof(
    fc.constantFrom(
      Buffer.from("160301020001000001fc0303", "hex"),
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from("SSH-2.0-OpenSSH_9.6\r\n"),
      Buffer.from("\r\n\r\n\r\n\r\n"),
      Buffer.from("\0"),
      Buffer.from("EHLO x\r\n"),
      Buffer.from("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
      Buffer.from("GET"),
      Buffer.from("GET / HTTP/1.1\r\nHost"),
      Buffer.from("{}"),
    ),
    fc.uint8Array({ minLength: 1, maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
    nastyText.map((text) => Buffer.from(text)),
  )
  .map((bytes) => ({ what: "no HTTP", method: "", bytes, whole: false, patient: false }));
