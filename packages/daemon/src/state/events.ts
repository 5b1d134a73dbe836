// Events in SQLite: the last of them, for replay.
import type { EventStore } from "../engine/events/bus.ts";
import { type Db, prepare } from "./database.ts";

const KEPT = 50_000;

export function eventStore(db: Db): EventStore {
  // Times as fixed-width text, since they do not fit SQLite's integers in JavaScript's numbers.
  const key = (nanoseconds: bigint): string => String(nanoseconds).padStart(20, "0");
  const insert = prepare<unknown[]>(db, "INSERT INTO events (time_nano, message) VALUES (?, ?)");
  const last = prepare<[], { sequence: number }>(
    db,
    "SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1",
  );
  const since = prepare<
    [string, number, number, number],
    { sequence: number; time_nano: string; message: string }
  >(
    db,
    "SELECT sequence, time_nano, message FROM events WHERE time_nano >= ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
  );
  const trim = prepare<unknown[]>(
    db,
    "DELETE FROM events WHERE sequence <= (SELECT MAX(sequence) FROM events) - ?",
  );
  let sinceTrim = 0;
  const append = db.transaction((events: readonly { nanoseconds: bigint; text: string }[]) => {
    for (const { nanoseconds, text } of events) insert.run(key(nanoseconds), text);
    sinceTrim += events.length;
    if (sinceTrim < 1000) return;
    sinceTrim = 0;
    trim.run(KEPT);
  });
  return {
    append: (events) => append(events),
    last: () => last.get()?.sequence ?? 0,
    since: (nanoseconds, after, end, limit) =>
      since.all(key(nanoseconds), after, end, limit).map((row) => ({
        sequence: row.sequence,
        nanoseconds: BigInt(row.time_nano),
        text: row.message,
      })),
  };
}
