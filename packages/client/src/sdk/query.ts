// Paths with their query.

/** Values of a query; lists repeat their name. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Leaves out what is undefined, false and empty. */
export function withQuery(path: string, query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined || value === false || value === "") return [];
    const values = Array.isArray(value) ? value : [value === true ? "1" : String(value)];
    return values.map((one) => `${encodeURIComponent(name)}=${encodeURIComponent(one)}`);
  });
  return pairs.length > 0 ? `${path}?${pairs.join("&")}` : path;
}

/** A container's path. */
export const containerPath = (id: string, rest = ""): string =>
  `/containers/${encodeURIComponent(id)}${rest}`;

/** An image's path: the slashes in its name stay. */
export const imagePath = (name: string, rest = ""): string =>
  `/images/${name.split("/").map(encodeURIComponent).join("/")}${rest}`;
