// Images in SQLite.
import type { ImageStore, StoredImage, StoredLayer, StoredStep } from "../engine/images/store.ts";
import { type Db, prepare } from "./database.ts";

interface LayerRow {
  chain_id: string;
  diff_id: string;
  directory: string;
  size: number;
}

export function imageStore(db: Db): ImageStore {
  const images = prepare<[], { id: string; config: string; size: number }>(
    db,
    "SELECT id, config, size FROM images",
  );
  const names = prepare<[], { name: string; image: string }>(
    db,
    "SELECT name, image FROM image_names ORDER BY name",
  );
  const layers = prepare<[], LayerRow>(db, "SELECT chain_id, diff_id, directory, size FROM layers");
  const insertImage = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO images (id, config, size) VALUES (?, ?, ?)",
  );
  const owners = prepare<[], { image: string; owner: string }>(
    db,
    "SELECT image, owner FROM image_owners ORDER BY rowid",
  );
  const insertOwner = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO image_owners (image, owner) VALUES (?, ?)",
  );
  const deleteImage = prepare<unknown[]>(db, "DELETE FROM images WHERE id = ?");
  const setName = prepare<unknown[]>(db, "INSERT OR REPLACE INTO image_names (name, image) VALUES (?, ?)");
  const deleteName = prepare<unknown[]>(db, "DELETE FROM image_names WHERE name = ?");
  const insertLayer = prepare<unknown[]>(
    db,
    "INSERT INTO layers (chain_id, diff_id, directory, size) VALUES (?, ?, ?, ?)",
  );
  const deleteLayer = prepare<unknown[]>(db, "DELETE FROM layers WHERE chain_id = ?");
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
    layers: () =>
      layers.all().map(
        (row): StoredLayer => ({
          chainId: row.chain_id,
          diffId: row.diff_id,
          directory: row.directory,
          size: row.size,
        }),
      ),
    insertImage: db.transaction((image: StoredImage) => {
      insertImage.run(image.id, JSON.stringify(image.config), image.size);
      for (const owner of image.owners) insertOwner.run(image.id, owner);
    }),
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
    insertLayer: (layer) => {
      insertLayer.run(layer.chainId, layer.diffId, layer.directory, layer.size);
    },
    deleteLayer: (chainId) => {
      deleteLayer.run(chainId);
    },
    steps: () => steps.all().map((row): StoredStep => ({ ...row, result: row.result !== 0 })),
    saveStep: ({ image, parent, key, result }) => {
      saveStep.run(image, parent, key, result ? 1 : 0);
    },
  };
}
