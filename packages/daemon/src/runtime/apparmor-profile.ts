// The AppArmor profile of containers that ask for no other: what no namespace keeps from them.

export const DEFAULT_PROFILE = "tsd-default";
/** Names that mean ours. */
const aliases: ReadonlySet<string> = new Set(["docker-default", "runtime/default", "default"]);

export const profileName = (asked: string): string => (aliases.has(asked) ? DEFAULT_PROFILE : asked);

/** In AppArmor's language (apparmor.d(5)): everything is allowed but what is denied by name, since namespaces, capabilities
 * and the system call filter confine the rest. Signals and ptrace are for processes of the same profile; the daemon, which
 * runs unconfined, may send signals to all. What only an attack does is logged. */
export const defaultProfile = `
profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  unix,
  dbus,

  # Kernel parameters that are no namespace's, and what resets, reads or changes the machine itself.
  audit deny /proc/sysrq-trigger rwklx,
  deny /proc/{kcore,kmem,mem,kallsyms,kpage*} rwklx,
  deny /proc/{acpi,asound,bus,fs,irq,mtrr,scsi}{,/**} wklx,
  deny /proc/sys/{abi,crypto,debug,dev,sunrpc,user,vm}/** wklx,
  deny /proc/sys/fs/[^m]** wklx,
  audit deny /proc/sys/kernel/{core_pattern,modprobe,sysrq} wklx,
  deny /proc/sys/kernel/{acct,core_pipe_limit,core_uses_pid,ctrl-alt-del,ftrace*,hotplug,kexec*,kptr_restrict,modules_disabled} wklx,
  deny /proc/sys/kernel/{nmi_*,panic*,perf_*,poweroff_cmd,printk*,randomize_va_space,soft*} wklx,
  deny /proc/sys/kernel/{tainted,threads-max,unprivileged_*,watchdog*} wklx,
  deny /proc/sys/kernel/{keys,random,yama}/** wklx,
  deny /sys/{block,bus,class,dev,devices,firmware,hypervisor,kernel,module,power}/** wklx,
  deny /sys/fs/{bpf,btrfs,ext4,f2fs,fuse,pstore,resctrl,selinux,smackfs,xfs}/** wklx,
  deny /sys/firmware/** r,
  deny /sys/kernel/{debug,security,tracing}/** r,
  deny /sys/devices/virtual/powercap/** r,

  # New mounts could show a masked path again.
  audit deny mount,
  audit deny pivot_root,

  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_PROFILE},
  signal (receive) peer=unconfined,
  signal (send, receive) peer=${DEFAULT_PROFILE},
}
`;
