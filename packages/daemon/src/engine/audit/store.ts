// Where the audit record is kept: lines as they are exported, by their sequence.

export interface AuditLine {
  sequence: number;
  /** The whole record or checkpoint, as JSON. */
  text: string;
}

/** Every method is synchronous, and short where it has a limit. */
export interface AuditStore {
  append(line: AuditLine): void;
  addCheckpoint(line: AuditLine): void;
  /** The last record; undefined when there is none. */
  last(): AuditLine | undefined;
  /** At most `limit` records from a sequence on, oldest first. */
  from(sequence: number, limit: number): AuditLine[];
  /** Checkpoints between two sequences, both included. */
  checkpoints(first: number, last: number): AuditLine[];
  close(): void;
}

/** The last checkpoint, kept apart from the record: a record that was cut short is found out by it. */
export interface CheckpointMemory {
  read(): string | undefined;
  write(text: string): void;
}
