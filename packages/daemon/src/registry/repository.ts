// One repository of a registry, at one address (OCI distribution specification).
import { Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import type { Authorizer } from "./credentials.ts";
import { RegistryError, refusal } from "./errors.ts";
import { type Answer, pause, type Question, type RegistryHttp } from "./http.ts";
import { type Document, sha256 } from "./manifest.ts";
import { acceptedManifests } from "./media-types.ts";

const MAXIMUM_MANIFEST = 4 << 20;
const MAXIMUM_TAGS = 100_000;

export interface RepositoryParts {
  http: RegistryHttp;
  authorizer: Authorizer;
  /** Such as https://registry.example:5000 */
  origin: string;
  /** The repository's name in the registry. */
  path: string;
  actions: "pull" | "pull,push";
}

/** A blob to be sent; `open` gives its bytes from an offset on. */
export interface Upload {
  digest: string;
  size: number;
  open(offset: number): Readable;
  /** Told how many bytes were sent. */
  progress(sent: number): void;
}

/** Reads a body that must not be longer than `maximum` bytes. */
async function readBody(answer: Answer, maximum: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maximum) throw new RegistryError(`${what} is larger than ${maximum} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export class Repository {
  readonly #parts: RepositoryParts;
  constructor(parts: RepositoryParts) {
    this.#parts = parts;
  }

  get origin(): string {
    return this.#parts.origin;
  }

  #scope(mountFrom?: string): string {
    const { path, actions } = this.#parts;
    return `repository:${path}:${actions}${mountFrom ? ` repository:${mountFrom}:pull` : ""}`;
  }

  #url(rest: string): URL {
    return new URL(`${this.#parts.origin}/v2/${this.#parts.path}/${rest}`);
  }

  /** A request, with the client's answer to the registry's challenge. `body` makes a new one for each attempt. */
  async #ask(
    url: URL,
    question: Omit<Question, "body"> & { body?: () => Buffer | Readable; mountFrom?: string },
  ): Promise<Answer> {
    const { http, authorizer, origin } = this.#parts;
    const { body, mountFrom, ...rest } = question;
    const scope = this.#scope(mountFrom);
    // An upload may be sent on to another server, which is not to learn who the client is.
    const ours = url.origin === new URL(origin).origin;
    for (let authorization = ours ? authorizer.header(scope) : undefined, asked = false; ; asked = true) {
      const headers = { ...rest.headers, ...(authorization ? { authorization } : {}) };
      const content = body?.();
      const answer =
        content && !Buffer.isBuffer(content)
          ? await http.send(url, { ...rest, headers, body: content })
          : await http.ask(url, { ...rest, headers, ...(content ? { body: content } : {}) });
      const challenge = answer.headers["www-authenticate"];
      if (answer.status !== 401 || asked || !ours || !challenge) return answer;
      answer.body.resume();
      authorization = await authorizer.answer(challenge, scope, rest.signal).catch((error: unknown) => {
        if (error instanceof RegistryError && error.message.startsWith("no basic auth"))
          throw new RegistryError(
            `${rest.method === "HEAD" ? "Head" : "Get"} "${url.href}": ${error.message}`,
            401,
            error.code,
          );
        throw error;
      });
    }
  }

  async #refuse(answer: Answer, what: string): Promise<never> {
    const text = (await readBody(answer, MAXIMUM_MANIFEST, "error")).toString("utf8");
    throw refusal(answer.status, text, `${what}: the registry answered with status ${answer.status}`);
  }

  /** A manifest or index by tag or digest; by digest it is checked. */
  async manifest(reference: string, signal?: AbortSignal): Promise<Document> {
    const url = this.#url(`manifests/${reference}`);
    const answer = await this.#ask(url, { headers: { accept: acceptedManifests }, signal });
    if (answer.status !== 200) return this.#refuse(answer, `manifest ${reference}`);
    const bytes = await readBody(answer, MAXIMUM_MANIFEST, `manifest ${reference}`);
    const digest = sha256(bytes);
    const expected = reference.includes(":") ? reference : answer.headers["docker-content-digest"];
    if (expected?.startsWith("sha256:") && expected !== digest)
      throw new RegistryError(
        `manifest verification failed for digest ${expected}: its content has ${digest}`,
      );
    const mediaType = (answer.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
    return { bytes, mediaType, digest };
  }

  /** The digest of a manifest, or undefined where there is none. */
  async digestOf(reference: string, signal?: AbortSignal): Promise<string | undefined> {
    const answer = await this.#ask(this.#url(`manifests/${reference}`), {
      method: "HEAD",
      headers: { accept: acceptedManifests },
      signal,
    });
    answer.body.resume();
    return answer.status === 200 ? answer.headers["docker-content-digest"] : undefined;
  }

  async tags(signal?: AbortSignal): Promise<string[]> {
    const tags: string[] = [];
    let url: URL | undefined = this.#url("tags/list");
    while (url && tags.length < MAXIMUM_TAGS) {
      const answer: Answer = await this.#ask(url, { signal });
      if (answer.status !== 200) return this.#refuse(answer, "tags");
      const text = (await readBody(answer, MAXIMUM_MANIFEST, "list of tags")).toString("utf8");
      const { tags: some } = JSON.parse(text) as { tags?: unknown };
      if (Array.isArray(some)) tags.push(...some.filter((tag): tag is string => typeof tag === "string"));
      const next = /<([^>]+)>;\s*rel="?next"?/.exec(answer.headers.link ?? "")?.[1];
      url = next ? new URL(next, url) : undefined;
    }
    return tags;
  }

  /** A blob's bytes from `offset` on; `skipped` says how many of them the caller has to leave out. */
  async blob(
    digest: string,
    offset: number,
    signal?: AbortSignal,
  ): Promise<{ stream: Readable; skip: number }> {
    const range = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const answer = await this.#ask(this.#url(`blobs/${digest}`), {
      // Compressed on the way, its bytes would be others than those of the digest.
      headers: { "accept-encoding": "identity", ...range },
      signal,
    });
    if (answer.status === 206) {
      const start = /^bytes (\d+)-/.exec(answer.headers["content-range"] ?? "")?.[1];
      if (Number(start) !== offset) {
        answer.body.destroy();
        throw new RegistryError(
          `blob ${digest}: asked for bytes from ${offset}, got them from ${start ?? "nowhere"}`,
        );
      }
      return { stream: answer.body, skip: 0 };
    }
    if (answer.status !== 200) return this.#refuse(answer, `blob ${digest}`);
    return { stream: answer.body, skip: offset };
  }

  /** A small blob, whole and checked. */
  async smallBlob(digest: string, maximum: number, signal?: AbortSignal): Promise<Buffer> {
    const answer = await this.#ask(this.#url(`blobs/${digest}`), {
      headers: { "accept-encoding": "identity" },
      signal,
    });
    if (answer.status !== 200) return this.#refuse(answer, `blob ${digest}`);
    const bytes = await readBody(answer, maximum, `blob ${digest}`);
    const actual = sha256(bytes);
    if (actual !== digest)
      throw new RegistryError(`blob ${digest} failed verification: its content has ${actual}`);
    return bytes;
  }

  async hasBlob(digest: string, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#ask(this.#url(`blobs/${digest}`), { method: "HEAD", signal });
    answer.body.resume();
    if (answer.status === 200) return true;
    if (answer.status === 404) return false;
    throw refusal(answer.status, "", statusWords(answer.status));
  }

  /** Sends a blob, or has the registry take it from another of its repositories. Says which of both it was. */
  async upload(
    blob: Upload,
    mountFrom: string | undefined,
    signal?: AbortSignal,
  ): Promise<"pushed" | "mounted"> {
    const begun = await this.#begin(mountFrom ? { digest: blob.digest, from: mountFrom } : undefined, signal);
    if (!begun) return "mounted";
    let location = begun;
    for (let attempt = 1, offset = 0; ; attempt++) {
      try {
        if (offset < blob.size) location = await this.#sendChunk(location, blob, offset, signal);
        await this.#finish(location, blob.digest, signal);
        return "pushed";
      } catch (error) {
        const { status } = error as RegistryError;
        const again = error instanceof RegistryError && (error.transient || status === 404 || status === 416);
        if (!again || attempt === MAXIMUM_ATTEMPTS) throw error;
        await wait(pause(attempt), undefined, { signal });
        const resumed = await this.#position(location, signal);
        offset = resumed?.offset ?? 0;
        location = resumed?.location ?? (await this.#begin(undefined, signal)) ?? location;
      }
    }
  }

  /** Where to send a blob to; undefined when it was mounted. */
  async #begin(
    mount: { digest: string; from: string } | undefined,
    signal?: AbortSignal,
  ): Promise<URL | undefined> {
    const url = this.#url("blobs/uploads/");
    if (mount) {
      url.searchParams.set("mount", mount.digest);
      url.searchParams.set("from", mount.from);
    }
    const answer = await this.#ask(url, {
      method: "POST",
      headers: { "content-length": "0" },
      signal,
      ...(mount ? { mountFrom: mount.from } : {}),
    });
    if (answer.status !== 201 && answer.status !== 202) return this.#refuse(answer, "upload");
    answer.body.resume();
    if (answer.status === 201 && mount) return undefined;
    return this.#location(answer, url);
  }

  #location(answer: Answer, url: URL): URL {
    const { location } = answer.headers;
    if (!location) throw new RegistryError("the registry did not say where to upload to");
    return new URL(location, url);
  }

  async #sendChunk(location: URL, blob: Upload, offset: number, signal?: AbortSignal): Promise<URL> {
    const answer = await this.#ask(location, {
      method: "PATCH",
      headers: {
        "content-type": "application/octet-stream",
        "content-length": String(blob.size - offset),
        "content-range": `${offset}-${blob.size - 1}`,
      },
      body: () => Readable.from(counted(blob, offset), { objectMode: false }),
      signal,
    });
    if (answer.status !== 202) return this.#refuse(answer, "upload");
    answer.body.resume();
    return this.#location(answer, location);
  }

  /** How far an upload that broke off had got; undefined where it can't go on. */
  async #position(
    location: URL,
    signal?: AbortSignal,
  ): Promise<{ location: URL; offset: number } | undefined> {
    const answer = await this.#ask(location, { signal });
    answer.body.resume();
    const last = /^(?:bytes=)?0-(\d+)$/.exec(answer.headers.range ?? "")?.[1];
    if (answer.status !== 204 || last === undefined) return undefined;
    return { location: this.#location(answer, location), offset: Number(last) + 1 };
  }

  async #finish(location: URL, digest: string, signal?: AbortSignal): Promise<void> {
    const url = new URL(location);
    url.searchParams.set("digest", digest);
    const answer = await this.#ask(url, { method: "PUT", headers: { "content-length": "0" }, signal });
    if (answer.status !== 201) return this.#refuse(answer, "upload");
    answer.body.resume();
  }

  async putManifest(reference: string, document: Document, signal?: AbortSignal): Promise<void> {
    const answer = await this.#ask(this.#url(`manifests/${reference}`), {
      method: "PUT",
      headers: { "content-type": document.mediaType },
      body: () => document.bytes,
      signal,
    });
    if (answer.status !== 201) return this.#refuse(answer, `manifest ${reference}`);
    answer.body.resume();
  }
}

const MAXIMUM_ATTEMPTS = 5;

/** A blob's bytes from an offset on, telling of each that is taken. */
async function* counted(blob: Upload, offset: number): AsyncGenerator<Buffer> {
  let sent = offset;
  for await (const chunk of blob.open(offset) as AsyncIterable<Buffer>) {
    yield chunk;
    sent += chunk.length;
    blob.progress(sent);
  }
}

const statusWords = (status: number): string =>
  status === 401
    ? "unauthorized: authentication required"
    : status === 403
      ? "denied: requested access to the resource is denied"
      : `the registry answered with status ${status}`;
