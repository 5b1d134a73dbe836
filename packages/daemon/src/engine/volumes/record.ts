// Volumes as they are kept, and where.

export interface VolumeRecord {
  name: string;
  /** Who created it (Caller.id); "" for volumes of before there were owners. */
  owner: string;
  /** RFC 3339, whole seconds. */
  created: string;
  /** null where the request said nothing of them, which inspect shows. */
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
  /** The tree of limited size that its files are in; "" for a plain directory. */
  tree: string;
  /** What a bind's device really is, for those who may bind some directories only; "" for others. */
  confined: string;
}

/** Keeps records over the daemon's life. Every method is synchronous and durable against the daemon's death. */
export interface VolumeStore {
  all(): VolumeRecord[];
  insert(record: VolumeRecord): void;
  delete(name: string): void;
}

/** What is asked of a volume when it is made; `name` "" for one that is to be invented. */
export interface VolumeRequest {
  name: string;
  driver: string;
  options: Record<string, string> | null;
  labels: Record<string, string> | null;
}

/** What marks volumes that nobody named. */
export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";
