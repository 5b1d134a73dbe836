// Build arguments: which a stage has declared, what they stand for, and which have a say in the cache.

/** Known without being declared; they are no part of history and cache unless they are. */
const predeclared: readonly string[] = ["HTTP", "HTTPS", "FTP", "NO", "ALL"].flatMap((name) => [
  `${name}_PROXY`,
  `${name.toLowerCase()}_proxy`,
]);

export class BuildArguments {
  readonly #given: ReadonlyMap<string, string>;
  readonly #global = new Map<string, string | undefined>();
  readonly #consumed = new Set<string>();
  #declared = new Map<string, string | undefined>();

  constructor(given: ReadonlyMap<string, string>) {
    this.#given = given;
  }

  /** ARG before the first FROM. */
  declareGlobal(name: string, value: string | undefined): void {
    this.#global.set(name, value);
    this.#consumed.add(name);
  }

  declare(name: string, value: string | undefined): void {
    this.#declared.set(name, value);
    this.#consumed.add(name);
  }

  /** Each stage declares its own. */
  beginStage(): void {
    this.#declared = new Map();
  }

  #value(name: string, declared: ReadonlyMap<string, string | undefined>): string | undefined {
    return this.#given.get(name) ?? declared.get(name) ?? this.#global.get(name);
  }

  /** For what stands before and in FROM. */
  globalValue(name: string): string | undefined {
    return this.#global.has(name) || predeclared.includes(name) ? this.#value(name, this.#global) : undefined;
  }

  value(name: string): string | undefined {
    return this.#declared.has(name) || predeclared.includes(name)
      ? this.#value(name, this.#declared)
      : undefined;
  }

  /** name=value of all that have a value and are no variable of the image's. */
  environment(own: readonly string[]): string[] {
    const taken = new Set(own.map((entry) => entry.split("=", 1)[0] ?? ""));
    return [...new Set([...predeclared, ...this.#declared.keys()])].flatMap((name) => {
      const value = taken.has(name) ? undefined : this.value(name);
      return value === undefined ? [] : [`${name}=${value}`];
    });
  }

  /** A command as history and cache have it: with the arguments that it ran with in front. */
  stamp(command: readonly string[], environment: readonly string[]): string[] {
    if (environment.length === 0) return [...command];
    const shown = environment.filter((entry) => {
      const name = entry.split("=", 1)[0] ?? "";
      return this.#consumed.has(name) || !predeclared.includes(name);
    });
    return [`|${shown.length}`, ...shown.sort(), ...command];
  }

  /** Names that were given and that nothing asked for. */
  unused(): string[] {
    return [...this.#given.keys()]
      .filter((name) => !this.#consumed.has(name) && !predeclared.includes(name))
      .sort();
  }
}
