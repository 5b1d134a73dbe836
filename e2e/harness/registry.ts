// Debian's docker-registry, in a suite's network namespace: plain, or over TLS with a password.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, output, type Result, run } from "./command.ts";

export const hasRegistry = existsSync("/usr/bin/docker-registry");
export const hasSkopeo = existsSync("/usr/bin/skopeo");

export interface RegistryOptions {
  address: string;
  port: number;
  tls?: boolean;
  /** Ask for the user bob with the password "secret". */
  password?: boolean;
  /** Ask for tokens: where they are had, and the certificate of whoever signs them. */
  tokens?: { realm: string; certificate: string };
}

/** bcrypt of "secret". */
const PASSWORDS = "bob:$2y$05$qfBI76YStkWNoFNkTCZquu5fGgBy9L/1zJywyqeyGZ6eYhjxXw8Vu\n";

export class TestRegistry {
  readonly directory = mkdtempSync(join(tmpdir(), "tsd-registry-"));
  readonly authority: string;
  readonly #namespace: string;
  readonly #options: RegistryOptions;
  #process: ChildProcess | undefined;

  private constructor(namespace: string, options: RegistryOptions) {
    this.#namespace = namespace;
    this.#options = options;
    this.authority = `${options.address}:${options.port}`;
  }

  static async start(namespace: string, options: RegistryOptions): Promise<TestRegistry> {
    const registry = new TestRegistry(namespace, options);
    const { directory } = registry;
    const { address, tls, password, tokens } = options;
    mkdirSync(join(directory, "data"));
    writeFileSync(join(directory, "passwords"), PASSWORDS);
    if (tls)
      await output("openssl", [
        ...[
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "2",
        ],
        ...["-subj", "/CN=registry", "-addext", `subjectAltName=IP:${address}`],
        ...["-keyout", join(directory, "key.pem"), "-out", join(directory, "cert.pem")],
      ]);
    const http = {
      addr: registry.authority,
      ...(tls ? { tls: { certificate: join(directory, "cert.pem"), key: join(directory, "key.pem") } } : {}),
    };
    const auth = { htpasswd: { realm: "test", path: join(directory, "passwords") } };
    // JSON is YAML.
    writeFileSync(
      join(directory, "config.yml"),
      JSON.stringify({
        version: 0.1,
        log: { level: "error" },
        storage: { filesystem: { rootdirectory: join(directory, "data") }, delete: { enabled: true } },
        http,
        ...(password ? { auth } : {}),
        ...(tokens
          ? {
              auth: {
                token: {
                  realm: tokens.realm,
                  service: "test-registry",
                  issuer: "test",
                  rootcertbundle: tokens.certificate,
                },
              },
            }
          : {}),
      }),
    );
    await registry.launch();
    return registry;
  }

  get certificate(): string {
    return join(this.directory, "cert.pem");
  }

  async launch(): Promise<void> {
    const words = [
      `--net=/run/netns/${this.#namespace}`,
      "docker-registry",
      "serve",
      join(this.directory, "config.yml"),
    ];
    this.#process = spawn("nsenter", words, { stdio: "ignore" });
    await eventually("the registry answers", async () => {
      const { stdout } = await this.curl("/v2/", "-o", "/dev/null", "-w", "%{http_code}");
      return stdout === "200" || stdout === "401";
    });
  }

  /** The registry's own word on something. */
  curl(path: string, ...words: string[]): Promise<Result> {
    const scheme = this.#options.tls ? "https" : "http";
    const user = this.#options.password ? ["-u", "bob:secret"] : [];
    return this.inside(
      "curl",
      "-sk",
      "--noproxy",
      "*",
      ...user,
      ...words,
      `${scheme}://${this.authority}${path}`,
    );
  }

  /** Runs a program where the registry is. */
  inside(program: string, ...words: string[]): Promise<Result> {
    return run("nsenter", [`--net=/run/netns/${this.#namespace}`, program, ...words]);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
