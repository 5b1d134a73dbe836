// Compiles a system call filter to classic BPF with libseccomp (seccomp_init(3) and its family).
import { closeSync, fstatSync, readSync } from "node:fs";
import koffi from "koffi";
import { KernelError } from "../errors.ts";
import { memoryFile } from "../libc.ts";
import {
  ARCHITECTURE_OFFSET,
  BPF,
  compactProgram,
  encodeProgram,
  type Instruction,
  NUMBER_OFFSET,
} from "./compact.ts";

export type SeccompOperator =
  | "SCMP_CMP_NE"
  | "SCMP_CMP_LT"
  | "SCMP_CMP_LE"
  | "SCMP_CMP_EQ"
  | "SCMP_CMP_GE"
  | "SCMP_CMP_GT"
  | "SCMP_CMP_MASKED_EQ";

export interface SeccompArgument {
  index: number;
  op: SeccompOperator;
  value: number | bigint;
  /** For SCMP_CMP_MASKED_EQ: `value` is the mask, this the wanted result. */
  valueTwo?: number | bigint | undefined;
}

/** One rule: what happens to these calls, if all of the argument comparisons hold. */
export interface SeccompRule {
  names: readonly string[];
  /** SCMP_ACT_*; `errnoRet` belongs to SCMP_ACT_ERRNO and SCMP_ACT_TRACE. */
  action: string;
  errnoRet?: number | undefined;
  args?: readonly SeccompArgument[] | undefined;
}

export interface SeccompFilter {
  defaultAction: string;
  defaultErrnoRet?: number | undefined;
  /** SCMP_ARCH_*; the machine's own is always in. */
  architectures: readonly string[];
  rules: readonly SeccompRule[];
}

const operators: Record<SeccompOperator, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

const actions: Record<string, number> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

const SCMP_FLTATR_CTL_OPTIMIZE = 8;
const SCMP_FLTATR_ACT_BADARCH = 2;
const EPERM = 1;
const EEXIST = 17;
const ENOSYS = 38;

function library() {
  const seccomp = koffi.load("libseccomp.so.2");
  koffi.struct("scmp_arg_cmp", { arg: "uint", op: "int", a: "uint64_t", b: "uint64_t" });
  return {
    init: seccomp.func("void *seccomp_init(uint32_t action)"),
    release: seccomp.func("void seccomp_release(void *context)"),
    attributeSet: seccomp.func("int seccomp_attr_set(void *context, int attribute, uint32_t value)"),
    archResolve: seccomp.func("uint32_t seccomp_arch_resolve_name(const char *name)"),
    archAdd: seccomp.func("int seccomp_arch_add(void *context, uint32_t arch)"),
    resolve: seccomp.func("int seccomp_syscall_resolve_name(const char *name)"),
    resolveOn: seccomp.func("int seccomp_syscall_resolve_name_arch(uint32_t arch, const char *name)"),
    nameOn: seccomp.func("void *seccomp_syscall_resolve_num_arch(uint32_t arch, int number)"),
    native: seccomp.func("uint32_t seccomp_arch_native()"),
    ruleAdd: seccomp.func(
      "int seccomp_rule_add_array(void *context, uint32_t action, int syscall, uint count, const scmp_arg_cmp *arguments)",
    ),
    exportBpf: seccomp.func("int seccomp_export_bpf(void *context, int descriptor)"),
  };
}

const free = koffi.load("libc.so.6").func("void free(void *pointer)");

// Loaded on first use: a daemon that only serves reads never needs it.
let loaded: ReturnType<typeof library> | undefined;

/** The action's number. Throws RangeError for an unknown one. */
function actionNumber(action: string, errno = EPERM): number {
  const number = actions[action];
  if (number === undefined)
    throw new RangeError(`invalid action, use a known seccomp action instead of ${action}`);
  return action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE" ? number | (errno & 0xffff) : number;
}

function check(result: number, call: string, about: string): void {
  if (result < 0) throw new KernelError(call, -result, about);
}

/** Builds the filter; takes about 10 ms for a long profile, so callers keep the result. Calls that this libseccomp does
 * not know are left out, as every container engine does: the kernel may not have them either. */
export function compileSeccomp(filter: SeccompFilter): Buffer {
  loaded ??= library();
  const api = loaded;
  const defaultAction = actionNumber(filter.defaultAction, filter.defaultErrnoRet);
  const context = api.init(defaultAction) as unknown;
  if (!context) throw new KernelError("seccomp_init", 22, filter.defaultAction);
  const memory = memoryFile("tsd-seccomp");
  try {
    check(api.attributeSet(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "seccomp_attr_set", "optimize");
    check(
      api.attributeSet(context, SCMP_FLTATR_ACT_BADARCH, actionNumber("SCMP_ACT_ERRNO")),
      "seccomp_attr_set",
      "badarch",
    );
    for (const architecture of filter.architectures) {
      const result = api.archAdd(context, architectureToken(api, architecture)) as number;
      if (result !== -EEXIST) check(result, "seccomp_arch_add", architecture);
    }
    for (const rule of filter.rules) addRule(api, context, rule, defaultAction);
    check(api.exportBpf(context, memory), "seccomp_export_bpf", "");
    const program = Buffer.alloc(fstatSync(memory).size);
    readSync(memory, program, 0, program.length, 0);
    return compactProgram(withNewCalls(api, filter, program));
  } finally {
    closeSync(memory);
    api.release(context);
  }
}

function addRule(
  api: ReturnType<typeof library>,
  context: unknown,
  rule: SeccompRule,
  defaultAction: number,
): void {
  const action = actionNumber(rule.action, rule.errnoRet);
  for (const { index, op } of rule.args ?? [])
    if (index < 0 || index > 5 || !(op in operators))
      throw new RangeError(`argument ${index} of ${rule.names[0] ?? "a rule"}: ${op} is no comparison`);
  if (action === defaultAction) return; // libseccomp refuses a rule that changes nothing
  const compares = (rule.args ?? []).map((argument) => ({
    arg: argument.index,
    op: operators[argument.op],
    a: argument.value,
    b: argument.valueTwo ?? 0,
  }));
  // Comparing one argument twice in a rule is not for libseccomp: such rules mean "any of them".
  const distinct = new Set(compares.map(({ arg }) => arg)).size === compares.length;
  for (const name of rule.names) {
    const number = api.resolve(name) as number;
    if (number === -1) continue; // __NR_SCMP_ERROR
    for (const set of distinct ? [compares] : compares.map((compare) => [compare])) {
      const result = api.ruleAdd(context, action, number, set.length, set.length ? set : null) as number;
      if (result !== -EEXIST) check(result, "seccomp_rule_add", name);
    }
  }
}

const X32_BIT = 0x40000000;
const X32 = 0x4000003e | 0;
const MOST_ARCHITECTURES = 32;

/** Puts in front of a filter that denies by default: calls that are newer than all that the profile names do not exist
 * (ENOSYS), so that programs fall back to those they know of old. runc does the same. */
function withNewCalls(api: ReturnType<typeof library>, filter: SeccompFilter, program: Buffer): Buffer {
  const denies = !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(filter.defaultAction);
  if (!denies || filter.defaultErrnoRet === ENOSYS) return program;
  const tokens = new Set<number>([
    api.native() as number,
    ...filter.architectures.map((name) => architectureToken(api, name)),
  ]);
  const names = filter.rules.flatMap((rule) => rule.names);
  const blocks: Buffer[] = [];
  for (const token of [...tokens].slice(0, MOST_ARCHITECTURES)) {
    if ((token | 0) === X32) continue; // the same architecture to the kernel as x86-64, told apart by a bit
    const newest = Math.max(...names.map((name) => api.resolveOn(token, name) as number));
    if (newest >= 0) blocks.push(newCallsBlock(token, newest));
  }
  return Buffer.concat([...blocks, program]);
}

const instruction = (code: number, value: number, yes = 0, no = 0): Instruction => ({ code, yes, no, value });

/** If it is this architecture, not x32, and the number beyond the newest: ENOSYS. */
const newCallsBlock = (token: number, newest: number): Buffer =>
  encodeProgram([
    instruction(BPF.load, ARCHITECTURE_OFFSET),
    instruction(BPF.jumpEqual, token, 0, 4),
    instruction(BPF.load, NUMBER_OFFSET),
    instruction(BPF.jumpSet, X32_BIT, 2, 0),
    instruction(BPF.jumpGreater, newest, 0, 1),
    instruction(BPF.return, actionNumber("SCMP_ACT_ERRNO", ENOSYS)),
  ]);

function architectureToken(api: ReturnType<typeof library>, architecture: string): number {
  const token = api.archResolve(architecture.replace(/^SCMP_ARCH_/, "").toLowerCase()) as number;
  if (!token) throw new RangeError(`unknown seccomp architecture ${architecture}`);
  return token;
}

/** The name of a call by its number on an architecture (AUDIT_ARCH_*); undefined for one that libseccomp does not know. */
export function systemCallName(architecture: number, number: number): string | undefined {
  loaded ??= library();
  const isX32 = architecture === 0xc000003e && (number & X32_BIT) !== 0;
  const text = loaded.nameOn(isX32 ? X32 >>> 0 : architecture, number) as unknown;
  if (!text) return undefined;
  try {
    return koffi.decode(text, "char", -1) as string;
  } finally {
    free(text);
  }
}

/** SCMP_ARCH_* of an AUDIT_ARCH_*, of those that programs of this machine may have; undefined for others. */
export const seccompArchitectures: Readonly<Record<number, string>> = {
  3221225534: "SCMP_ARCH_X86_64",
  1073741827: "SCMP_ARCH_X86",
  3221225655: "SCMP_ARCH_AARCH64",
  1073741864: "SCMP_ARCH_ARM",
  3221225715: "SCMP_ARCH_RISCV64",
  2147483670: "SCMP_ARCH_S390X",
};
