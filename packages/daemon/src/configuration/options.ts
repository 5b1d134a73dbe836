// The daemon's options: one table for flags and for the configuration file, with dockerd's names where dockerd has them.

/** text: one value; number; switch: true or false; list: repeatable. */
export type OptionKind = "text" | "number" | "switch" | "list";

export interface Option {
  kind: OptionKind;
  /** The flag's letter. */
  short?: string;
  /** The key in the configuration file, where it is not the flag's name. */
  key?: string;
  /** SIGHUP takes it up without a restart. */
  reloadable?: true;
  /** What --help says. */
  text: string;
}

const table = {
  host: {
    kind: "list",
    short: "H",
    key: "hosts",
    text: "listen at unix://PATH, tcp://HOST:PORT or fd:// (repeatable; default unix:///run/tsd.sock)",
  },
  "config-file": { kind: "text", text: "the configuration file (default /etc/tsd/daemon.json)" },
  validate: { kind: "switch", text: "check flags and configuration file, and quit" },
  "data-root": {
    kind: "text",
    text: "where images, containers and state are kept (default /var/lib/tsd)",
  },
  "exec-root": { kind: "text", text: "where sockets of running containers are kept (default /run/tsd)" },
  pidfile: { kind: "text", short: "p", text: "file for the daemon's pid (default EXEC-ROOT/tsd.pid)" },
  group: { kind: "text", short: "G", text: "group of unix sockets (default tsd)" },
  "socket-mode": { kind: "text", text: "mode of unix sockets, in octal (default 660)" },
  "log-level": {
    kind: "text",
    short: "l",
    reloadable: true,
    text: "trace, debug, info, warn, error or fatal (default info)",
  },
  debug: { kind: "switch", short: "D", reloadable: true, text: "the same as --log-level=debug" },
  label: { kind: "list", key: "labels", reloadable: true, text: "key=value, shown by info (repeatable)" },
  bridge: { kind: "text", short: "b", text: "bridge of the default network (default tsd0)" },
  bip: { kind: "text", text: "the bridge's address, in CIDR notation (default 172.30.0.1/16)" },
  "cgroup-parent": { kind: "text", text: "control group that containers are put below (default /tsd)" },
  "cpu-rt-runtime": {
    kind: "number",
    text: "microseconds of real-time scheduling in each period that all containers may have together (default 0; control groups of version 1)",
  },
  "cpu-rt-period": { kind: "number", text: "that period, in microseconds (default 1000000)" },
  "storage-opt": {
    kind: "list",
    key: "storage-opts",
    text: "size=BYTES: the most each container writes, by default; quota-driver=project|btrfs|ext4 (repeatable)",
  },
  "userns-remap": {
    kind: "text",
    text: "user namespaces of containers that ask for nothing: auto (a range of ids for each; the default), host, or USER[:GROUP] (the subordinate ids of one, for all)",
  },
  "userns-pool": {
    kind: "text",
    text: "ids for auto: FIRST:COUNT, or whose in /etc/subuid and /etc/subgid (default: tsd's or containers', else from 1879048192 on)",
  },
  mtu: { kind: "number", text: "MTU of the default network (default 1500)" },
  iptables: { kind: "switch", text: "write firewall rules (default true)" },
  icc: {
    kind: "switch",
    text: "containers of one network reach each other, where the network does not say (default true)",
  },
  "default-address-pool": {
    kind: "list",
    key: "default-address-pools",
    text: "where networks get their subnets from, as base=CIDR,size=PREFIX-LENGTH (repeatable)",
  },
  "default-pids-limit": {
    kind: "number",
    text: "processes of a container that asks for no limit (default 4096; 0: as many as it likes)",
  },
  "default-ulimit": {
    kind: "list",
    key: "default-ulimits",
    text: "limit of containers' processes, as name=soft[:hard] (repeatable)",
  },
  "default-shm-size": { kind: "text", text: "size of containers' /dev/shm, such as 64m (default 64m)" },
  "cdi-spec-dir": {
    kind: "list",
    key: "cdi-spec-dirs",
    text: "folder of CDI specifications (repeatable; default /etc/cdi and /var/run/cdi)",
  },
  "verify-interval": {
    kind: "text",
    reloadable: true,
    text: "how often running containers are verified against their plans, such as 5m (default 0: only when asked)",
  },
  defence: {
    kind: "text",
    reloadable: true,
    text: "off, report, pause or kill: what is done where a container runs a file that it wrote itself, or rises above its rights (default off)",
  },
  "selinux-enabled": {
    kind: "switch",
    text: "label containers and their files; needs a kernel with SELinux and a policy (docs/security-modules.md)",
  },
  lxcfs: {
    kind: "text",
    text: "where lxcfs is mounted, which shows containers their own limits in /proc: PATH, off, or auto (default)",
  },
  "add-runtime": {
    kind: "list",
    key: "runtimes",
    text: "an OCI runtime that --runtime can name, as NAME=PATH[ ARGUMENT…] (repeatable; runc and crun are found by themselves)",
  },
  "init-path": { kind: "text", text: "init program for --init" },
  "registry-mirror": {
    kind: "list",
    key: "registry-mirrors",
    reloadable: true,
    text: "[REGISTRY=]URL: asked before the registry itself, docker.io where none is named (repeatable)",
  },
  "insecure-registry": {
    kind: "list",
    key: "insecure-registries",
    reloadable: true,
    text: "HOST[:PORT] or CIDR of registries without TLS, or with unknown certificates (repeatable)",
  },
  "registry-certs-dir": {
    kind: "list",
    reloadable: true,
    text: "folder of folders HOST:PORT with *.crt, *.cert and *.key (repeatable; default /etc/tsd/certs.d and /etc/docker/certs.d)",
  },
  "max-concurrent-downloads": {
    kind: "number",
    reloadable: true,
    text: "layers that are pulled at one time (default 3)",
  },
  "max-concurrent-uploads": {
    kind: "number",
    reloadable: true,
    text: "layers of one image that are pushed at one time (default 5)",
  },
  "max-download-attempts": {
    kind: "number",
    reloadable: true,
    text: "attempts without a byte in between before a download is given up (default 5)",
  },
  "image-policy": {
    kind: "text",
    reloadable: true,
    text: "which images may be pulled, pushed and run, and who must have signed them; its signature is in FILE.sig (docs/images.md)",
  },
  "image-policy-key": {
    kind: "text",
    reloadable: true,
    text: "public key that --image-policy must be signed with",
  },
  "image-key-dir": {
    kind: "text",
    text: "folder of private keys for encrypted images, *.pem (default /etc/tsd/image-keys)",
  },
  "max-layer-size": { kind: "text", text: "the most that an image's layer may unpack to (default 64g)" },
  "image-gc": {
    kind: "list",
    reloadable: true,
    text: "age=720h, disk=85: images that no container uses go after so long, or while the disk is fuller (repeatable)",
  },
  "http-proxy": { kind: "text", text: "proxy for registries without TLS (default $HTTP_PROXY)" },
  "https-proxy": { kind: "text", text: "proxy for registries with TLS (default $HTTPS_PROXY)" },
  "no-proxy": { kind: "text", text: "HOST, .DOMAIN, CIDR, …: reached without a proxy (default $NO_PROXY)" },
  tls: { kind: "switch", text: "TLS at tcp:// hosts; implied by --tlsverify" },
  tlsverify: { kind: "switch", text: "TLS, and only for clients with a certificate of --tlscacert" },
  tlscacert: {
    kind: "text",
    reloadable: true,
    text: "certificates of the authorities that clients' ones must be of (default /etc/tsd/certs/ca.pem)",
  },
  tlscert: {
    kind: "text",
    reloadable: true,
    text: "the server's certificate (default /etc/tsd/certs/server/cert.pem)",
  },
  tlskey: {
    kind: "text",
    reloadable: true,
    text: "the server's key (default /etc/tsd/certs/server/key.pem)",
  },
  tlscrl: {
    kind: "text",
    reloadable: true,
    text: "certificate revocation list (default crl.pem beside --tlscacert, where there is one)",
  },
  "roles-file": { kind: "text", reloadable: true, text: "who may do what (docs/remote.md)" },
  "audit-key": { kind: "text", text: "private key that signs the audit record (default: one is made)" },
  "allow-unauthenticated-tcp": {
    kind: "switch",
    text: "listen at tcp:// beyond loopback though nobody's certificate is asked for: anyone is root then",
  },
  "anonymous-ping": { kind: "switch", text: "answer /_ping to clients without a certificate" },
  "max-connections": {
    kind: "number",
    text: "connections at one time (default: 9 tenths of the open files allowed)",
  },
  "max-connections-per-caller": {
    kind: "number",
    reloadable: true,
    text: "connections of one caller at one time (default: 3 quarters of --max-connections)",
  },
  "max-requests-per-second": {
    kind: "number",
    reloadable: true,
    text: "requests of one caller in one second (default 0: as many as it likes)",
  },
  version: { kind: "switch", short: "v", text: "print the version and quit" },
  help: { kind: "switch", short: "h", text: "print this and quit" },
} as const satisfies Readonly<Record<string, Option>>;

export type OptionName = keyof typeof table;
export const options: Readonly<Record<OptionName, Option>> = table;

/** Options that make sense on a command line only. */
export const flagsOnly: ReadonlySet<string> = new Set(["config-file", "validate", "version", "help"]);

/** The key of an option in the configuration file. */
export const keyOf = (name: OptionName): string => options[name].key ?? name;

type ValueOf<K extends OptionKind> = { text: string; number: number; switch: boolean; list: string[] }[K];

/** What was given, by flag name; the rest is left to the defaults. */
export type Given = { [N in OptionName]?: ValueOf<(typeof table)[N]["kind"]> };

/** Keys of dockerd's that only say what holds here anyway: taken with this value, refused with any other. */
export const facts: Readonly<Record<string, unknown>> = {
  "live-restore": true,
  "storage-driver": "overlay2",
  experimental: false,
  "default-runtime": "tsd",
};
