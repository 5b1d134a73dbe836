// The Engine API's description as a judge: whether an answer's status is documented and its body as the schema says.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

interface Endpoint {
  path: string;
  method: string;
  parameters: {
    name: string;
    in: "path" | "query" | "body" | "header";
    required?: boolean;
    schema?: object;
  }[];
  /** Status → schema of the body, null for none. */
  responses: Record<string, object | null>;
}

interface Description {
  version: string;
  endpoints: Endpoint[];
  definitions: Record<string, object>;
}

const file = join(import.meta.dirname, "../fixtures/engine-api-v1.51.json");
export const description = JSON.parse(readFileSync(file, "utf8")) as Description;

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, verbose: true });
const compiled = new Map<string, ValidateFunction>();

/** A schema with the definitions it refers to. */
function validator(key: string, schema: object): ValidateFunction {
  const known = compiled.get(key);
  if (known) return known;
  const made = ajv.compile({ ...schema, definitions: description.definitions });
  compiled.set(key, made);
  return made;
}

export interface Exchange {
  method: string;
  /** The endpoint's path, with its placeholders. */
  path: string;
  query: readonly string[];
  requestBody?: unknown;
  status: number;
  /** Parsed JSON; undefined where the answer was none. */
  body?: unknown;
}

/** Statuses that this engine answers and the description forgets, with the reason. */
const undocumented: Readonly<Record<string, string>> = {
  "POST /containers/{id}/start 400": "a command that is not there; dockerd answers so too",
  "POST /containers/{id}/pause 409": "of a container that does not run; dockerd answers so too",
  "GET /containers/{id}/top 409": "of a container that does not run; dockerd answers so too",
  "GET /containers/{id}/logs 400": "no stream chosen; dockerd answers so too",
  "POST /containers/{id}/attach 409": "of a paused container; dockerd answers so too",
  "POST /containers/{id}/update 400": "limits that can't be; dockerd answers so too",
  "POST /containers/{id}/rename 400": "a name that is none; dockerd answers so too",
  "POST /containers/{id}/kill 400": "a signal that is none; dockerd answers so too",
  "POST /containers/{id}/resize 400": "a size that is none; dockerd answers so too",
  "POST /containers/prune 400": "a filter that is none; dockerd answers so too",
  "POST /containers/{id}/exec 400": "no command; dockerd answers so too",
  "POST /exec/{id}/start 101": "an upgraded connection, as for attach",
};

/** What is wrong with an exchange, in words. */
export function problems(exchange: Exchange): string[] {
  const endpoint = description.endpoints.find(
    ({ path, method }) => path === exchange.path && method === exchange.method,
  );
  const name = `${exchange.method} ${exchange.path}`;
  if (!endpoint) return [`${name} is not documented`];
  const found: string[] = [];
  const query = endpoint.parameters.filter((parameter) => parameter.in === "query").map((one) => one.name);
  for (const parameter of exchange.query)
    if (!query.includes(parameter)) found.push(`${name}: parameter ${parameter} is not documented`);
  const schema = endpoint.parameters.find((parameter) => parameter.in === "body")?.schema;
  if (schema && exchange.requestBody !== undefined && typeof exchange.requestBody === "object") {
    const validate = validator(`${name} request`, schema);
    if (!validate(exchange.requestBody))
      found.push(`${name} request: ${ajv.errorsText(validate.errors, { dataVar: "body" })}`);
  }
  const answer = endpoint.responses[String(exchange.status)];
  if (answer === undefined) {
    if (!(`${name} ${exchange.status}` in undocumented))
      found.push(`${name}: status ${exchange.status} is not documented`);
    return found;
  }
  if (answer === null || exchange.body === undefined) return found;
  const validate = validator(`${name} ${exchange.status}`, answer);
  if (validate(exchange.body)) return found;
  const errors = (validate.errors ?? []).filter((error) => !isGoNil(error));
  if (errors.length > 0)
    found.push(`${name} ${exchange.status}: ${ajv.errorsText(errors, { dataVar: "body" })}`);
  return found;
}

/** Numbers that dockerd tells by pointers, so that they can be null. */
const pointers = /\/(?:MemorySwappiness|ExitCode)$/;

/** dockerd writes null for lists and maps that are empty, whatever the description says; so do we, since clients rely on
 * nothing else. */
function isGoNil(error: ErrorObject): boolean {
  if (error.keyword !== "type" || error.data !== null) return false;
  const wanted = [(error.params as { type: string | string[] }).type].flat();
  return wanted.some((type) => ["array", "object"].includes(type)) || pointers.test(error.instancePath);
}
