// The unpacking process: reads one layer's tar on stdin and writes it into the directory it was given as its root.
// Whatever the archive says, this process can reach nothing else: it is chrooted, and has only file capabilities.
import { capabilityMask, changeRoot, keepCapabilities } from "@tsd/kernel-bindings";
import { LayerWriter } from "./layer-writer.ts";

const [, , directory, limitText] = process.argv;
if (!directory || !limitText) throw new Error("usage: unpack DIRECTORY MAXIMUM-BYTES");

changeRoot(directory);
keepCapabilities(
  capabilityMask(["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP"]),
);
process.umask(0);

const writer = new LayerWriter(Number(limitText));
writer.write(process.stdin).then(
  (result) => process.stdout.write(JSON.stringify(result)),
  (error: Error) => {
    process.stderr.write(error.message);
    process.exitCode = 1;
  },
);
