// The program that tries to break out (attempts.c), built for containers and for the host, and how its answers are read.
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { output, run } from "../../harness/command.ts";
import { repository, TestDaemon } from "../../harness/daemon.ts";

export class Attempts {
  readonly #daemon: TestDaemon;
  readonly program: string;

  private constructor(daemon: TestDaemon, program: string) {
    this.#daemon = daemon;
    this.program = program;
  }

  /** Builds the program; it has no libraries, so that it runs in any image. */
  static async build(daemon: TestDaemon): Promise<Attempts> {
    const program = join(daemon.root, "attempts");
    const source = join(repository, "e2e/isolation/escapes/attempts.c");
    await output("gcc", ["-Wall", "-Wextra", "-Werror", "-O1", "-static", "-o", program, source]);
    return new Attempts(daemon, program);
  }

  /** What the host's own root gets, in namespaces that go with the program. */
  async onHost(...words: readonly string[]): Promise<string> {
    const apart = ["--mount", "--uts", "--ipc", "--cgroup", "--propagation", "private"];
    return (await run("unshare", [...apart, this.program, ...words])).stdout.trim();
  }

  /** What a container's process gets. */
  async inside(words: readonly string[], flags: readonly string[] = [], image = "busybox"): Promise<string> {
    const bound = ["-v", `${this.program}:/attempts:ro`];
    const { stdout, stderr } = await this.#daemon.tsctl(
      "run",
      "--rm",
      ...bound,
      ...flags,
      image,
      "/attempts",
      ...words,
    );
    return (stdout || stderr).trim();
  }
}

/** A daemon for one file of tests, seen at the end to leave nothing, and the program for its containers. */
export function attemptsOf(name: string): { daemon: () => TestDaemon; attempts: () => Attempts } {
  let daemon: TestDaemon;
  let attempts: Attempts;
  beforeAll(async () => {
    daemon = await TestDaemon.start(name);
    await daemon.importBusybox();
    attempts = await Attempts.build(daemon);
  });
  afterAll(async () => {
    await daemon.clear();
    const leaks = await daemon.lastingLeaks();
    await daemon.stop();
    expect(leaks).toEqual([]);
  });
  return { daemon: () => daemon, attempts: () => attempts };
}

/** Answers that say that this kernel does not have what is tried. */
export const isMissing = (answer: string): boolean => /refused: (ENOSYS|EAFNOSUPPORT|ENOENT)/.test(answer);
