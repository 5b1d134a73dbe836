// Certificates for tests, made by the openssl program, with everything wrong in them that can be.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Issued {
  cert: string;
  key: string;
}

export interface IssueOptions {
  /** "DNS:localhost,IP:127.0.0.1". */
  names?: string;
  usage?: "serverAuth" | "clientAuth";
  /** Days from now until it is over; negative for one that is. */
  days?: number;
  /** The name of the authority's files (default ca). */
  by?: string;
}

/** A directory with an authority, ca.pem and ca-key.pem, and whatever it issues. */
export class TestAuthority {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tsd-client-"));

  constructor() {
    this.authority("ca", "test authority");
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  #openssl(...words: string[]): void {
    execFileSync("openssl", words, { cwd: this.directory, stdio: ["ignore", "ignore", "pipe"] });
  }

  #key(file: string): void {
    this.#openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file);
  }

  /** Another authority: NAME.pem and NAME-key.pem. */
  authority(name: string, commonName: string): void {
    this.#key(`${name}-key.pem`);
    this.#openssl(
      ...["req", "-x509", "-new", "-key", `${name}-key.pem`, "-subj", `/CN=${commonName}`],
      ...["-days", "30", "-out", `${name}.pem`],
    );
  }

  /** Issues NAME.pem and NAME-key.pem for /CN=NAME. */
  issue(name: string, options: IssueOptions = {}): Issued {
    const by = options.by ?? "ca";
    this.#key(`${name}-key.pem`);
    this.#openssl("req", "-new", "-key", `${name}-key.pem`, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
    const extensions = [
      `extendedKeyUsage=${options.usage ?? "serverAuth"}`,
      ...(options.names ? [`subjectAltName=${options.names}`] : []),
    ];
    writeFileSync(this.path(`${name}.ext`), `${extensions.join("\n")}\n`);
    this.#openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${by}.pem`, "-CAkey", `${by}-key.pem`],
      ...["-CAcreateserial", "-days", String(options.days ?? 30), "-extfile", `${name}.ext`],
      ...["-out", `${name}.pem`],
    );
    return { cert: this.path(`${name}.pem`), key: this.path(`${name}-key.pem`) };
  }

  /** NAME-key.pem once more, with a passphrase. */
  encryptKey(name: string): string {
    this.#openssl(
      ...["ec", "-in", `${name}-key.pem`, "-aes128", "-passout", "pass:secret"],
      ...["-out", `${name}-encrypted.pem`],
    );
    return this.path(`${name}-encrypted.pem`);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
