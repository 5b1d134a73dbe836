// Patterns of image names, as roles write them.

/** Whether a name fits one of a role's image patterns, with or without its tag. */
export function fitsPatterns(name: string, patterns: readonly string[]): boolean {
  const bare = name.replace(/:[^/:]*$/, "");
  return patterns.some((pattern) => {
    const expression = pattern
      .split("*")
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*");
    const whole = new RegExp(`^${expression}$`);
    return whole.test(name) || whole.test(bare);
  });
}
