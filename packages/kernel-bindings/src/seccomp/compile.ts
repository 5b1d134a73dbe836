// Compiles a system call filter to classic BPF with libseccomp (seccomp_init(3) and its family).
import { closeSync, fstatSync, readSync } from "node:fs";
import koffi from "koffi";
import { KernelError } from "../errors.ts";
import { memoryFile } from "../libc.ts";

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
    ruleAdd: seccomp.func(
      "int seccomp_rule_add_array(void *context, uint32_t action, int syscall, uint count, const scmp_arg_cmp *arguments)",
    ),
    exportBpf: seccomp.func("int seccomp_export_bpf(void *context, int descriptor)"),
  };
}

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
      const token = api.archResolve(architecture.replace(/^SCMP_ARCH_/, "").toLowerCase()) as number;
      if (!token) throw new RangeError(`unknown seccomp architecture ${architecture}`);
      const result = api.archAdd(context, token) as number;
      if (result !== -EEXIST) check(result, "seccomp_arch_add", architecture);
    }
    for (const rule of filter.rules) addRule(api, context, rule, defaultAction);
    check(api.exportBpf(context, memory), "seccomp_export_bpf", "");
    const program = Buffer.alloc(fstatSync(memory).size);
    readSync(memory, program, 0, program.length, 0);
    return program;
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
