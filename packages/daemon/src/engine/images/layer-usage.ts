// What layers take on disk, and how much of an image others share.

/** Bytes. */
export interface LayerUsage {
  total: number;
  /** By image: of those of its layers that another image has, too. */
  shared: ReadonlyMap<string, number>;
}

/** `chains` are each image's layers by their chain ids; the same chain in two images is one layer on disk. */
export function layerUsage(
  chains: ReadonlyMap<string, readonly string[]>,
  sizeOf: (chain: string) => number,
): LayerUsage {
  const users = new Map<string, number>();
  for (const chain of [...chains.values()].flat()) users.set(chain, (users.get(chain) ?? 0) + 1);
  const sum = (layers: readonly string[]): number =>
    layers.reduce((total, chain) => total + sizeOf(chain), 0);
  const shared = [...chains].map(
    ([image, own]) => [image, sum(own.filter((chain) => (users.get(chain) ?? 0) > 1))] as const,
  );
  return { total: sum([...users.keys()]), shared: new Map(shared) };
}
