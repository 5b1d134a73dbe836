// Which TCP addresses may be listened at without knowing who calls.
import { isLoopback } from "./endpoints.ts";

/** none: plain TCP; server: clients are not asked for a certificate; mutual: they must have one. */
export type TlsMode = "none" | "server" | "mutual";

/** What is to be told about an address, which is nothing where clients need certificates. Throws where nobody but this
 * machine should be able to reach it: whoever does is root here. */
export function checkTrust(
  address: { host: string; port: number },
  mode: TlsMode,
  allowed: boolean,
): string[] {
  if (mode === "mutual") return [];
  const where = `tcp://${address.host}:${address.port}`;
  const own = isLoopback(address.host);
  if (!own && !allowed)
    throw new Error(
      `${where}: refused without --tlsverify, since whoever reaches it would be root on this machine; --allow-unauthenticated-tcp allows it all the same`,
    );
  const whoever = own ? "every user of this machine" : "whoever reaches it";
  return [`DANGER: ${where} asks nobody for a certificate: ${whoever} is root here; use --tlsverify`];
}
