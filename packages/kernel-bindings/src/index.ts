// The public face of the kernel bindings.
export * from "./archiver.ts";
export * from "./capabilities.ts";
export * from "./cgroup/cgroups.ts";
export * from "./cgroup/statistics.ts";
export * from "./constants.ts";
export * from "./errors.ts";
export * from "./launcher.ts";
export * from "./libc.ts";
export * from "./monitor.ts";
export * from "./netlink/message.ts";
export * from "./netlink/route.ts";
export * from "./netlink/socket.ts";
export * from "./plan/describe.ts";
export * from "./plan/encode.ts";
export * from "./plan/vocabulary.ts";
export * from "./seccomp/compile.ts";
