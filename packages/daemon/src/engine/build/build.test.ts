// The builder's parts that need no kernel: parsing, variables, here-documents, keys, as data.
import { describe, expect, it } from "vitest";
import { BuildArguments } from "./arguments.ts";
import { stepKey } from "./cache.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { expandDocument, expandWord, expandWords } from "./expand.ts";
import { durationText, parseDuration, quoteRune } from "./go-text.ts";
import { planBuild } from "./plan.ts";
import { scriptOf } from "./script.ts";
import { namedValues, quotedWords } from "./words.ts";

const lines = (source: string): string[] =>
  parseDockerfile(source).instructions.map(({ original }) => original);

describe("a Dockerfile", () => {
  it.each<[string, string[]]>([
    ["FROM a\nRUN b", ["FROM a", "RUN b"]],
    ["\uFEFFFROM a\r\nRUN b\r\n", ["FROM a", "RUN b"]],
    ["# c\n\n  FROM a\n\tRUN x \\\n  y \\ \n  z", ["FROM a", "RUN x   y   z"]],
    ["FROM a\nRUN x \\\n# c\n  # d\n && y", ["FROM a", "RUN x  && y"]],
    ["#escape=`\nFROM a\nRUN x `\n# c\n y\\\nRUN z", ["FROM a", "RUN x  y\\", "RUN z"]],
    ['FROM a\nRUN echo "a\\\n  b"', ["FROM a", 'RUN echo "a  b"']],
    [
      "FROM a\nRUN <<E cat\n# no comment\n\\\nE\nRUN x",
      ["FROM a", "RUN <<E cat\n# no comment\n\\\nE", "RUN x"],
    ],
    ['FROM a\nRUN echo $((1<<2)) "<<E"', ["FROM a", 'RUN echo $((1<<2)) "<<E"']],
  ])("%j", (source, wanted) => expect(lines(source)).toEqual(wanted));

  it("flags are taken off the front, here-documents off the end", () => {
    const [, copy] = parseDockerfile(
      'FROM a\nCOPY --chown=1:2 --chmod=644 <<A <<-"B" /d/\na\nA\n\tb\n\tB\n',
    ).instructions;
    expect(copy).toMatchObject({
      keyword: "COPY",
      line: 2,
      flags: [
        ["chown", "1:2"],
        ["chmod", "644"],
      ],
      heredocs: [
        { name: "A", content: "a\n", expand: true },
        { name: "B", content: "b\n", expand: false },
      ],
    });
  });

  it("stages end at the target, labels are its last steps", () => {
    const plan = planBuild(parseDockerfile("ARG A\nFROM a AS One\nRUN x\nFROM b\nRUN y"), "ONE", {
      b: "2",
      a: "1",
    });
    expect(plan.steps).toBe(5);
    expect(
      plan.stages.map(({ commands }) => commands.map(({ instruction }) => instruction.original)),
    ).toEqual([["RUN x", "LABEL a=1", "LABEL b=2"]]);
  });
});

describe("variables", () => {
  const values: Record<string, string> = { A: "a b", E: "", P: "foo.tar.gz", "1": "one" };
  const lookup = (name: string): string | undefined => values[name];
  it.each<[string, string]>([
    ["$A-$E-$N.", "a b--."],
    [`\${A}x`, "a bx"],
    ["'$A'\"$A\"", "$Aa b"],
    ["\\$A \\\\", "$A \\"],
    ['"\\$A \\x \\""', '$A \\x "'],
    [`\${E:-d}\${E-d}\${N-d}`, "dd"],
    [`\${A:+s}\${E:+s}\${E+s}`, "ss"],
    [`\${N:-\${A}}`, "a b"],
    [`\${P%.*} \${P%%.*} \${P#*.} \${P##*.}`, "foo.tar foo tar.gz gz"],
    [`\${P/o/0} \${P//o/0} \${P/tar}`, "f0o.tar.gz f00.tar.gz foo..gz"],
    ["$1 $", "one $"],
    ["a\\", "a"],
  ])("%s → %s", (text, wanted) => expect(expandWord(text, "\\", lookup)).toBe(wanted));

  it.each([
    [`\${A`, "unsupported modifier (\ufffd)"],
    [`\${}`, "bad substitution"],
    [`\${N:?no}`, "N: no"],
    [`\${N?}`, "N: not allowed to be unset"],
    [`\${A:x}`, "unsupported modifier (:x)"],
    ["'a", "single-quote"],
    ['"a', "double-quote"],
  ])("%s is refused: %s", (text, message) => expect(() => expandWord(text, "\\", lookup)).toThrow(message));

  it("split into words where they are not quoted", () => {
    expect(expandWords('$A "$A" x$A', "\\", lookup)).toEqual(["a", "b", "a b", "xa", "b"]);
    expect(expandWords("$E", "\\", lookup)).toEqual([]);
  });

  it("in documents quotes are characters", () =>
    expect(expandDocument(`'$A' \\$A "\${N:-x}" $`, "\\", lookup)).toBe("'a b' $A \"x\" $"));
});

describe("words", () => {
  it("keep their quotes", () =>
    expect(quotedWords("a 'b c' d=\"e f\" g\\ h", "\\")).toEqual(["a", "'b c'", 'd="e f"', "g\\ h"]));
  it("pairs, and the old form", () => {
    expect(namedValues("ENV", "a=1 b='2 3'", "\\")).toEqual([
      ["a", "1"],
      ["b", "'2 3'"],
    ]);
    expect(namedValues("ENV", "a  b c=d", "\\")).toEqual([["a", "b c=d"]]);
    expect(() => namedValues("ENV", "a=1 b", "\\")).toThrow('can\'t find = in "b"');
  });
});

describe("build arguments", () => {
  it("are worth what was given, their default, or the global one", () => {
    const args = new BuildArguments(
      new Map([
        ["A", "given"],
        ["HTTP_PROXY", "p"],
        ["X", "x"],
      ]),
    );
    args.declareGlobal("G", "global");
    args.declareGlobal("A", "default");
    args.beginStage();
    expect(args.value("A")).toBeUndefined();
    args.declare("A", "own");
    args.declare("G", undefined);
    args.declare("D", "d");
    expect(args.environment(["D=env", "PATH=/"])).toEqual(["HTTP_PROXY=p", "A=given", "G=global"]);
    expect(args.stamp(["sh"], args.environment([]))).toEqual(["|3", "A=given", "D=d", "G=global", "sh"]);
    expect(args.unused()).toEqual(["X"]);
  });
});

describe("scripts", () => {
  const document = { name: "E", expand: true, content: "echo x\n" };
  it("alone, with an interpreter, behind a command", () => {
    expect(scriptOf("<<E", [document])).toMatchObject({ text: "echo x\n" });
    expect(scriptOf("<<'E'", [{ ...document, content: "#!/x\n" }])).toMatchObject({
      text: "/dev/pipes/E",
      file: "#!/x\n",
    });
    expect(scriptOf("cat <<E", [document])).toMatchObject({ text: "cat <<E\necho x\nE\n" });
  });
});

describe("a step's key", () => {
  it("is the same for the same outcome, whatever the order of its fields", () => {
    const one = stepKey(["x"], { User: "a", Env: ["A=1"], Cmd: null }, []);
    expect(stepKey(["x"], { Env: ["A=1"], User: "a" }, [])).toBe(one);
    for (const other of [
      stepKey(["y"], { User: "a", Env: ["A=1"] }, []),
      stepKey(["x"], { User: "b", Env: ["A=1"] }, []),
      stepKey(["x"], { User: "a", Env: ["A=1"] }, ["network=none"]),
    ])
      expect(other).not.toBe(one);
  });
});

describe("as Go prints it", () => {
  it.each([
    [0, "0s"],
    [1e6, "1ms"],
    [1.5e9, "1.5s"],
    [90e9, "1m30s"],
    [3600e9, "1h0m0s"],
  ])("%d ns is %s", (nanoseconds, text) => {
    expect(durationText(nanoseconds)).toBe(text);
    expect(parseDuration(text)).toBe(nanoseconds);
  });
  it("runes", () => expect([0, 3, 10, 65].map(quoteRune)).toEqual(["'\\x00'", "'\\x03'", "'\\n'", "'A'"]));
  it("durations that are none", () => {
    expect(() => parseDuration("1")).toThrow("missing unit");
    expect(() => parseDuration("x")).toThrow("invalid duration");
  });
});
