// What --help says.

const common = `      --dir string               The authority's directory (default /etc/tsd/certs for root, else ~/.tsd/certs)
      --passphrase-file string   File whose first line opens the authority's key; else TSD_CA_PASSPHRASE, else asked for
`;

export const usage = `Usage:  tsctl certs COMMAND

A certificate authority for mutual TLS with the daemon

Commands:
  init       Make an authority
  server     Issue a server's certificate
  client     Issue a client's certificate
  revoke     Revoke a server's or client's certificates
  renew      Issue a new certificate with the same names and role
  crl        Make a new revocation list
  list       List what was issued
  verify     Say what certificates are worth to the authority

Run 'tsctl certs COMMAND --help' for a command's flags.
`;

export const commandHelp: Readonly<Record<string, string>> = {
  init: `Usage:  tsctl certs init [OPTIONS]

Make an authority: ca.pem, ca-key.pem, an empty crl.pem and index.json

Options:
      --name string              Common name (default "tsd authority" and this host's name)
      --days int                 Lifetime in days (default 3650)
      --bits int                 Size of the RSA key (default 4096)
      --passphrase               Ask for a passphrase to encrypt the key with
      --force                    Move an authority that is there to old-TIME in its directory
${common}`,
  server: `Usage:  tsctl certs server [OPTIONS] NAME [NAME...]

Issue a server's certificate for DNS names (a wildcard may be the left-most label) and IP addresses

Options:
      --name string              Put the files in server-NAME instead of server
      --days int                 Lifetime in days (default 397)
      --bits int                 Size of the RSA key (default 2048)
      --force                    Replace files that are there; their certificate stays good until it is revoked
${common}`,
  client: `Usage:  tsctl certs client [OPTIONS] NAME

Issue a client's certificate; clients/NAME is then what DOCKER_CERT_PATH wants

Options:
      --role string              What the client may do: admin, operator, viewer, or a role of the daemon's settings
      --ou list                  Another organizational unit
      --san list                 Alternative name: DNS:name, IP:address, email:address or URI:uri
      --days int                 Lifetime in days (default 397)
      --bits int                 Size of the RSA key (default 2048)
      --force                    Replace files that are there; their certificate stays good until it is revoked
${common}`,
  revoke: `Usage:  tsctl certs revoke [OPTIONS] NAME|SERIAL

Revoke all living certificates of a name, or the one with a serial number (its first 12 digits do)

Options:
      --reason string            unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation
                                 or privilegeWithdrawn (default unspecified)
${common}`,
  renew: `Usage:  tsctl certs renew [OPTIONS] NAME
        tsctl certs renew [OPTIONS] --server [--name NAME]
        tsctl certs renew [OPTIONS] --ca

Issue a new key and certificate with the same subject, names and role; of the authority, a new certificate for its key

Options:
      --server                   Renew the server's
      --name string              Renew the one of server-NAME
      --ca                       Renew the authority's own
      --days int                 Lifetime in days (default the old one's)
      --bits int                 Size of the RSA key (default 2048)
      --revoke-old               Revoke the old one, which else lives to its end
${common}`,
  crl: `Usage:  tsctl certs crl [OPTIONS]

Make a new revocation list (every command that issues or revokes does, when the old one ends within 30 days)

Options:
${common}`,
  list: `Usage:  tsctl certs list [OPTIONS]

List what was issued

Options:
      --expiring int             Only those that end within so many days, or have, and have no successor
      --format string            table or json (default table)
      --dir string               The authority's directory (default /etc/tsd/certs for root, else ~/.tsd/certs)
`,
  verify: `Usage:  tsctl certs verify [OPTIONS] FILE [FILE...]

Say of each certificate whether the authority issued it, its usage, end and revocation; status 1 if one is not good

Options:
      --dir string               The authority's directory (default /etc/tsd/certs for root, else ~/.tsd/certs)
`,
};
