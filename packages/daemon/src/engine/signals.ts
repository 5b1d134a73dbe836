// Signals by the names and numbers that clients use.
import { constants } from "node:os";
import { invalid } from "./errors.ts";

const FIRST_REALTIME = 34;
const LAST_REALTIME = 64;

/** The number of "KILL", "SIGKILL", "9", "RTMIN+3"…; throws with Docker's words for what is none. */
export function signalNumber(text: string, introduction = ""): number {
  const failure = () => invalid(`${introduction}invalid signal: ${text}`);
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number < 1 || number > LAST_REALTIME) throw failure();
    return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RTM(IN|AX)([+-]\d+)?$/.exec(name);
  if (realtime) {
    const number = (realtime[1] === "IN" ? FIRST_REALTIME : LAST_REALTIME) + Number(realtime[2] ?? 0);
    if (number < FIRST_REALTIME || number > LAST_REALTIME) throw failure();
    return number;
  }
  const number = (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`];
  if (number === undefined) throw failure();
  return number;
}
