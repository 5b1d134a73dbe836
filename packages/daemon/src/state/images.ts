// Images and layers in SQLite.
import type {
  ImageStore,
  LayerStore,
  StoredBlob,
  StoredDigest,
  StoredImage,
  StoredLayer,
  StoredManifest,
  StoredSignature,
  StoredStep,
} from "../engine/images/store.ts";
import { type Db, prepare } from "./database.ts";

export function imageStore(db: Db): ImageStore {
  const images = prepare<[], { id: string; config: string; size: number; used: number }>(
    db,
    "SELECT id, config, size, used FROM images",
  );
  const names = prepare<[], { name: string; image: string }>(
    db,
    "SELECT name, image FROM image_names ORDER BY name",
  );
  const insertImage = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO images (id, config, size, bytes, used) VALUES (?, ?, ?, ?, ?)",
  );
  const bytes = prepare<[string], { bytes: Buffer | null; config: string }>(
    db,
    "SELECT bytes, config FROM images WHERE id = ?",
  );
  const owners = prepare<[], { image: string; owner: string }>(
    db,
    "SELECT image, owner FROM image_owners ORDER BY rowid",
  );
  const insertOwner = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO image_owners (image, owner) VALUES (?, ?)",
  );
  const setUsed = prepare<unknown[]>(db, "UPDATE images SET used = ? WHERE id = ?");
  const deleteImage = prepare<unknown[]>(db, "DELETE FROM images WHERE id = ?");
  const setName = prepare<unknown[]>(db, "INSERT OR REPLACE INTO image_names (name, image) VALUES (?, ?)");
  const deleteName = prepare<unknown[]>(db, "DELETE FROM image_names WHERE name = ?");
  const digests = prepare<[], StoredDigest>(db, "SELECT repository, digest, image FROM image_digests");
  const setDigest = prepare<unknown[]>(
    db,
    "INSERT OR REPLACE INTO image_digests (repository, digest, image) VALUES (?, ?, ?)",
  );
  const deleteDigest = prepare<unknown[]>(
    db,
    "DELETE FROM image_digests WHERE repository = ? AND digest = ?",
  );
  const manifests = prepare<[string], StoredManifest>(
    db,
    "SELECT digest, media_type AS mediaType, bytes, image FROM manifests WHERE image = ? ORDER BY rowid",
  );
  const holders = prepare<[string], { image: string }>(db, "SELECT image FROM manifests WHERE digest = ?");
  const insertManifest = prepare<unknown[]>(
    db,
    "INSERT OR REPLACE INTO manifests (digest, media_type, bytes, image) VALUES (?, ?, ?, ?)",
  );
  const signatures = prepare<[string], StoredSignature>(
    db,
    "SELECT digest, payload, signature, image FROM image_signatures WHERE image = ? ORDER BY rowid",
  );
  const insertSignature = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO image_signatures (digest, payload, signature, image) VALUES (?, ?, ?, ?)",
  );
  const steps = prepare<[], Omit<StoredStep, "result"> & { result: number }>(
    db,
    "SELECT image, parent, key, result FROM image_steps ORDER BY rowid",
  );
  const saveStep = prepare<unknown[]>(
    db,
    "INSERT OR REPLACE INTO image_steps (image, parent, key, result) VALUES (?, ?, ?, ?)",
  );
  return {
    images: () => {
      const byImage = new Map<string, string[]>();
      for (const { image, owner } of owners.all()) byImage.set(image, [...(byImage.get(image) ?? []), owner]);
      return images.all().map(
        (row): StoredImage => ({
          ...row,
          config: JSON.parse(row.config),
          owners: byImage.get(row.id) ?? [],
        }),
      );
    },
    names: () => names.all(),
    digests: () => digests.all(),
    insertImage: db.transaction((image: StoredImage, raw: Buffer) => {
      insertImage.run(image.id, JSON.stringify(image.config), image.size, raw, image.used);
      for (const owner of image.owners) insertOwner.run(image.id, owner);
    }),
    bytes: (id) => {
      const row = bytes.get(id);
      return row && (row.bytes ?? Buffer.from(row.config));
    },
    setUsed: (id, used) => {
      setUsed.run(used, id);
    },
    addOwner: (id, owner) => {
      insertOwner.run(id, owner);
    },
    deleteImage: (id) => {
      deleteImage.run(id);
    },
    setName: (name, image) => {
      setName.run(name, image);
    },
    deleteName: (name) => {
      deleteName.run(name);
    },
    setDigest: ({ repository, digest, image }) => {
      setDigest.run(repository, digest, image);
    },
    deleteDigest: (repository, digest) => {
      deleteDigest.run(repository, digest);
    },
    manifests: (image) => manifests.all(image),
    holdersOf: (digest) => holders.all(digest).map(({ image }) => image),
    insertManifest: ({ digest, mediaType, bytes: raw, image }) => {
      insertManifest.run(digest, mediaType, raw, image);
    },
    signatures: (image) => signatures.all(image),
    insertSignature: ({ digest, payload, signature, image }) => {
      insertSignature.run(digest, payload, signature, image);
    },
    steps: () => steps.all().map((row): StoredStep => ({ ...row, result: row.result !== 0 })),
    saveStep: ({ image, parent, key, result }) => {
      saveStep.run(image, parent, key, result ? 1 : 0);
    },
  };
}

/** Layers are kept by diff id; older databases have some by the id of their chain, so that one may be there twice. */
export function layerStore(db: Db): LayerStore {
  const layers = prepare<[], StoredLayer>(
    db,
    "SELECT diff_id AS diffId, directory, size, fingerprint FROM layers ORDER BY rowid",
  );
  const insertLayer = prepare<unknown[]>(
    db,
    "INSERT INTO layers (chain_id, diff_id, directory, size, fingerprint) VALUES (?, ?, ?, ?, ?)",
  );
  const setFingerprint = prepare<unknown[]>(db, "UPDATE layers SET fingerprint = ? WHERE diff_id = ?");
  const deleteLayer = prepare<unknown[]>(db, "DELETE FROM layers WHERE diff_id = ?");
  const blobs = prepare<[], StoredBlob>(
    db,
    "SELECT digest, diff_id AS diffId, media_type AS mediaType, size FROM blobs ORDER BY rowid",
  );
  const insertBlob = prepare<unknown[]>(
    db,
    "INSERT OR REPLACE INTO blobs (digest, diff_id, media_type, size) VALUES (?, ?, ?, ?)",
  );
  const deleteBlob = prepare<unknown[]>(db, "DELETE FROM blobs WHERE digest = ?");
  return {
    layers: () => layers.all(),
    insertLayer: ({ diffId, directory, size, fingerprint }) => {
      insertLayer.run(diffId, diffId, directory, size, fingerprint);
    },
    setFingerprint: (diffId, fingerprint) => {
      setFingerprint.run(fingerprint, diffId);
    },
    deleteLayer: (diffId) => {
      deleteLayer.run(diffId);
    },
    blobs: () => blobs.all(),
    insertBlob: ({ digest, diffId, mediaType, size }) => {
      insertBlob.run(digest, diffId, mediaType, size);
    },
    deleteBlob: (digest) => {
      deleteBlob.run(digest);
    },
  };
}
