// A real program, built in stages: a C compiler from Debian's packages, a static binary, an image of nothing else.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";
import { debianToolchain } from "../harness/debian.ts";

let daemon: TestDaemon;
let scratch: string;
let archive: string | undefined;
beforeAll(async () => {
  archive = await debianToolchain();
  if (!archive || !hasDocker) return;
  scratch = mkdtempSync(join(tmpdir(), "tsd-build-program-"));
  daemon = await TestDaemon.start("build-program");
  await daemon.tsctl("import", archive, "debian:gcc");
  await output("sh", ["-euc", `cd "$0"; ${files}`, scratch]);
}, 420_000);
afterAll(async () => {
  if (!archive || !hasDocker) return;
  await daemon.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const files = String.raw`mkdir -p src include tests
cat > include/words.h <<'E'
#include <stddef.h>
size_t count_words(const char *text);
E
cat > src/words.c <<'E'
#include "words.h"
#include <ctype.h>
size_t count_words(const char *text) {
    size_t count = 0;
    for (int inside = 0; *text; text++) {
        if (!isspace((unsigned char)*text) && !inside) count++;
        inside = !isspace((unsigned char)*text);
    }
    return count;
}
E
cat > src/main.c <<'E'
#include <stdio.h>
#include "words.h"
int main(int count, char **arguments) {
    printf("%s %zu\n", VERSION, count > 1 ? count_words(arguments[1]) : 0);
}
E
cat > tests/test.c <<'E'
#include <assert.h>
#include "words.h"
int main(void) { assert(count_words(" a bc  d ") == 3); }
E
printf 'build\n**/*.o\n' > .dockerignore; touch src/stale.o
cat > Dockerfile <<'E'
FROM debian:gcc AS compile
ARG VERSION=0
WORKDIR /work
COPY include include
COPY src src
RUN gcc -O2 -Wall -Werror -static -Iinclude -DVERSION="\"$VERSION\"" -o words src/*.c
FROM compile AS test
COPY tests tests
RUN gcc -Iinclude -o check tests/test.c src/words.c && ./check && echo checked > /checked
FROM scratch
COPY --from=compile /work/words /words
COPY --from=test /checked /
ENTRYPOINT ["/words"]
E`;

describe("a C program in stages", () => {
  it("is compiled, tested, and alone in its image", async ({ skip }) => {
    if (!archive || !hasDocker) return skip();
    const built = await daemon.tsctl("build", "-t", "words", "--build-arg", "VERSION=1.2", scratch);
    expect([built.status, built.stderr]).toEqual([0, ""]);
    expect((await daemon.docker("run", "--rm", "words", "one two  three")).stdout).toBe("1.2 3\n");
    await daemon.docker("create", "--name", "words", "words");
    const { stdout } = await daemon.cli("sh", ["-c", "docker export words | tar -t"]);
    expect(stdout.split("\n").filter((path) => path && !/^(?:dev|etc|proc|sys|\.docker)/.test(path))).toEqual(
      ["checked", "words"],
    );
    await daemon.docker("rm", "words");
  });

  it("a change of the tests compiles nothing but them", async ({ skip }) => {
    if (!archive || !hasDocker) return skip();
    await output("sh", [
      "-c",
      'echo "// more" >> "$0/tests/test.c"; touch "$0/src/main.c" "$0/src/other.o"',
      scratch,
    ]);
    const { stdout, status } = await daemon.tsctl("build", "--build-arg", "VERSION=1.2", scratch);
    expect(status).toBe(0);
    const found = [...stdout.matchAll(/^Step \d+\/\d+ : (\w+) .*\n(?: ---> Using cache)?/gm)].map(
      ([text, keyword]) => `${keyword}${text.endsWith("cache") ? " found" : ""}`,
    );
    expect(found.filter((step) => !step.startsWith("FROM"))).toEqual([
      ...["ARG found", "WORKDIR found", "COPY found", "COPY found", "RUN found"],
      ...["COPY", "RUN", "COPY found", "COPY found", "ENTRYPOINT found"],
    ]);
  });
});
