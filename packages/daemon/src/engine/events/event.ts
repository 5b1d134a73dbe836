// An event as the API shows it, and where the engine's parts say that one happened.

export interface EngineEvent {
  Type: "container" | "image" | "network" | "volume" | "daemon";
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  /** Whose object it is about (Caller.id). */
  owner: string;
}

export interface EventSink {
  publish(event: EngineEvent): void;
}
