// Chance that can be repeated, so that a failure can be looked at again.

/** Numbers from 0 to 1, the same ones for the same seed (Park and Miller's generator). */
export function repeatable(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
