// A virtual machine in a container: /dev/kvm handed in where the host has it, qemu with a Debian kernel. Skips without the
// kernel and qemu that scripts/guest installs.
import { existsSync, readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

const boot = "/var/cache/tsd-test/guest-root/boot";
const kernel = existsSync(boot) ? readdirSync(boot).find((name) => name.startsWith("vmlinuz-")) : undefined;
const ready = kernel !== undefined && existsSync("/usr/bin/qemu-system-x86_64");

it.skipIf(!ready)(
  "a Debian kernel boots in a container that was given /dev/kvm",
  async () => {
    const daemon = await TestDaemon.start("machine");
    try {
      await daemon.importBusybox();
      // The host's qemu, with its libraries: no image that has one can be had everywhere.
      const binds = ["/usr", "/lib", "/lib64", "/etc/alternatives"].flatMap((path) => [
        "-v",
        `${path}:${path}:ro`,
      ]);
      const kvm = existsSync("/dev/kvm") ? ["--device", "/dev/kvm"] : [];
      const qemu = `qemu-system-x86_64 -accel tcg -cpu max -m 256 -nographic -no-reboot -kernel /boot/${kernel} -append 'console=ttyS0 panic=-1'`;
      const open = kvm.length > 0 ? "exec 3<>/dev/kvm && echo kvm opened && exec 3>&-; " : "";
      const words = ["run", "--rm", "-m", "1g", ...kvm, ...binds, "-v", `${boot}:/boot:ro`];
      const result = await daemon.cli(
        "docker",
        [...words, "busybox", "/usr/bin/bash", "-c", `${open}timeout 100 ${qemu}`],
        {
          timeout: 120_000,
        },
      );
      if (open) expect(result.stdout).toContain("kvm opened");
      expect(result.stdout).toMatch(/Linux version [\d.]+/);
      // It has no root to mount: that far, and no further, it is to come.
      expect(result.stdout).toMatch(/Kernel panic - not syncing: VFS: Unable to mount root fs/);
    } finally {
      await daemon.stop();
    }
  },
  150_000,
);
