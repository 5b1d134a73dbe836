// Lines of progress on the terminal: each layer's at its own place; without a terminal each step once.

export interface ProgressLine {
  id?: string;
  status?: string;
  progress?: string;
  stream?: string;
  error?: string;
  aux?: { ID?: string; Digest?: string; Tag?: string };
}

type Write = (text: string) => Promise<void>;

/** Shows lines as docker does. Throws for one that tells of an error. */
export class ProgressDisplay {
  readonly #write: Write;
  readonly #terminal: boolean;
  /** Rows of layers, from the first on. */
  readonly #rows = new Map<string, number>();

  constructor(write: Write, terminal: boolean) {
    this.#write = write;
    this.#terminal = terminal;
  }

  async show(line: ProgressLine): Promise<void> {
    if (line.error !== undefined) throw new Error(line.error);
    if (line.stream !== undefined) return this.#write(line.stream);
    if (!line.status) return;
    if (!line.id) {
      this.#rows.clear();
      return this.#write(`${line.status}\n`);
    }
    // What only moves means nothing where it can't be written over.
    if (!this.#terminal) return line.progress ? undefined : this.#write(`${line.id}: ${line.status}\n`);
    const text = `${line.id}: ${line.status} ${line.progress ?? ""}`.trimEnd();
    const row = this.#rows.get(line.id);
    if (row === undefined) {
      this.#rows.set(line.id, this.#rows.size);
      return this.#write(`${text}\n`);
    }
    const up = this.#rows.size - row;
    return this.#write(`\x1b[${up}A\x1b[2K\r${text}\x1b[${up}B\r`);
  }
}
