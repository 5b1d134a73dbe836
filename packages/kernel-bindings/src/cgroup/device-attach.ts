// Puts a device program on a group of version 2 that is in use, in the place of the one that is there (bpf(2)).
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { KernelError } from "../errors.ts";
import { closeDescriptor } from "../libc.ts";

const SYS_bpf = process.arch === "arm64" ? 280 : 321;
const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const INSTRUCTION = 8;

const load = koffi.struct("tsd_bpf_load", {
  type: "uint32_t",
  count: "uint32_t",
  instructions: "void *",
  license: "const char *",
});
const attach = koffi.struct("tsd_bpf_attach", {
  group: "uint32_t",
  program: "uint32_t",
  type: "uint32_t",
  flags: "uint32_t",
});
const libc = koffi.load("libc.so.6");
const loading = libc.func("long syscall(long number, int command, const tsd_bpf_load *how, uint32_t size)");
const attaching = libc.func(
  "long syscall(long number, int command, const tsd_bpf_attach *how, uint32_t size)",
);

const checked = (result: number | bigint, path: string): number => {
  if (Number(result) < 0) throw new KernelError("bpf", koffi.errno(), path);
  return Number(result);
};

/** Throws KernelError; the old program then stays. Without flags a group has but one program, which the new one replaces. */
export function attachDeviceProgram(directory: string, instructions: Buffer): void {
  const how = {
    type: BPF_PROG_TYPE_CGROUP_DEVICE,
    count: instructions.length / INSTRUCTION,
    instructions,
    license: "Apache-2.0",
  };
  const program = checked(loading(SYS_bpf, BPF_PROG_LOAD, how, koffi.sizeof(load)), "BPF_PROG_LOAD");
  try {
    const group = openSync(directory, "r");
    try {
      const place = { group, program, type: BPF_CGROUP_DEVICE, flags: 0 };
      checked(attaching(SYS_bpf, BPF_PROG_ATTACH, place, koffi.sizeof(attach)), directory);
    } finally {
      closeSync(group);
    }
  } finally {
    closeDescriptor(program);
  }
}
