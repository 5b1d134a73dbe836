// The database's migrations, in order. A migration that was released is never changed; a new one is added at the end.

export interface Migration {
  name: string;
  sql: string;
}

/** Index + 1 is the version (user_version) that a migration leads to. */
export const migrations: readonly Migration[] = [
  {
    name: "images",
    sql: `
      CREATE TABLE images (
        id TEXT PRIMARY KEY,
        config TEXT NOT NULL,
        size INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE image_names (
        name TEXT PRIMARY KEY,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
      ) STRICT;
      CREATE TABLE layers (
        chain_id TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        directory TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "containers",
    sql: `
      CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        definition TEXT NOT NULL,
        state TEXT NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "events",
    sql: `
      CREATE TABLE events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        time_nano TEXT NOT NULL,
        message TEXT NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "facts",
    sql: `CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;`,
  },
  {
    name: "execs",
    sql: `CREATE TABLE execs (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;`,
  },
  {
    name: "owners",
    sql: `
      CREATE TABLE image_owners (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        owner TEXT NOT NULL,
        UNIQUE (image, owner)
      ) STRICT;
      CREATE TABLE volumes (
        name TEXT PRIMARY KEY,
        owner TEXT NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "networks",
    sql: `CREATE TABLE networks (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;`,
  },
  {
    name: "policies",
    sql: `CREATE TABLE policies (network TEXT PRIMARY KEY, request TEXT NOT NULL) STRICT;`,
  },
  {
    name: "chains",
    sql: `CREATE TABLE chains (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;`,
  },
  {
    name: "registries",
    sql: `
      ALTER TABLE images ADD COLUMN bytes BLOB;
      ALTER TABLE images ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE layers ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
      CREATE TABLE image_signatures (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        payload BLOB NOT NULL,
        signature TEXT NOT NULL,
        PRIMARY KEY (image, digest, signature)
      ) STRICT;
      CREATE TABLE blobs (
        digest TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE manifests (
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        bytes BLOB NOT NULL,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (image, digest)
      ) STRICT;
      CREATE TABLE image_digests (
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (repository, digest)
      ) STRICT;
    `,
  },
  {
    name: "volumes",
    sql: `ALTER TABLE volumes ADD COLUMN record TEXT NOT NULL DEFAULT '{}';`,
  },
  {
    name: "image steps",
    sql: `
      CREATE TABLE image_steps (
        image TEXT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
        parent TEXT NOT NULL,
        key TEXT NOT NULL,
        result INTEGER NOT NULL
      ) STRICT;
    `,
  },
];
