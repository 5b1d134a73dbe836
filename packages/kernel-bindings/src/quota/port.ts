// What every way of limiting the size of a directory tree can do. Mechanism: whose trees they are is the caller's.

/** Bytes in use, and the most there may be. */
export interface QuotaUsage {
  usage: number;
  limit: number;
}

/** The file system can't do what is asked of it: the message says why. */
export class QuotaError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "QuotaError";
  }
}

/** So much is needed to mount a tree, with what a file system reserves for it before it knows; and so much is lent. */
export const ROOM_TO_MOUNT = 512 << 10;
export const ROOM_LENT = 1 << 20;

/** Trees of limited size in one place, each by its name. Calls for one name come one after the other. */
export interface QuotaDriver {
  readonly name: "project" | "btrfs" | "ext4";
  /** For people. */
  readonly title: string;
  /** The smallest limit it can hold, in bytes. */
  readonly minimum: number;
  /** What keeps it from working here; undefined when nothing seems to. Makes nothing that stays. */
  obstacle(): Promise<string | undefined>;
  /** Makes ready what an earlier process left, or one before a restart of the machine; removes what was not finished. */
  recover(): Promise<void>;
  /** Sets up what the first tree needs. */
  open(): Promise<void>;
  /** Names there are, complete or not. */
  names(): string[];
  /** The tree's directory. */
  directory(name: string): string;
  /** Makes an empty tree; nothing is left of one that can't be made. */
  make(name: string, limit: number): Promise<void>;
  /** Changes a limit. Throws QuotaError for what it can't. */
  limit(name: string, limit: number): Promise<void>;
  usage(name: string): Promise<QuotaUsage>;
  /** Sees to it that a tree that is full can still be mounted, for which the kernel makes a directory and a few files in it.
   * Returns what takes the room back; undefined where there is enough of it. After a crash, `limit` takes it back. */
  makeRoom(name: string): Promise<(() => Promise<void>) | undefined>;
  /** Removes a tree, complete or not; nothing happens if it is not there. */
  remove(name: string): Promise<void>;
  /** Lets go of everything but the trees that are in use. */
  close(inUse: (name: string) => boolean): Promise<void>;
}
