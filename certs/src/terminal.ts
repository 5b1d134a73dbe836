// The process's own streams, and a question at the terminal whose answer is not shown.
import { once } from "node:events";
import type { CommandIo } from "./command.ts";
import { CertificatesError } from "./errors.ts";

/** Applies what was typed; returns the finished line, or undefined while it goes on. Throws at Ctrl-C and Ctrl-D. */
export function typeInto(line: string[], typed: string): string | undefined {
  for (const character of typed) {
    if (character === "\r" || character === "\n") return line.join("");
    if (character === "\x03" || character === "\x04") throw new CertificatesError("no passphrase was typed");
    if (character === "\x7f" || character === "\b") line.pop();
    else line.push(character);
  }
  return undefined;
}

async function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.resume();
  const line: string[] = [];
  try {
    for (;;) {
      const [typed] = await once(stdin, "data");
      const answer = typeInto(line, String(typed));
      if (answer !== undefined) return answer;
    }
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

export const processIo = (): CommandIo => ({
  stdout: (text) => {
    process.stdout.write(text);
  },
  stderr: (text) => {
    process.stderr.write(text);
  },
  env: process.env,
  prompt: process.stdin.isTTY && process.stderr.isTTY ? askHidden : undefined,
});
