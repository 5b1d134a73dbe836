// Images in SQLite.
import type { ImageStore, StoredImage, StoredLayer } from "../engine/images/store.ts";
import type { Db } from "./database.ts";

interface LayerRow {
  chain_id: string;
  diff_id: string;
  directory: string;
  size: number;
}

export function imageStore(db: Db): ImageStore {
  const images = db.prepare<[], { id: string; config: string; size: number }>(
    "SELECT id, config, size FROM images",
  );
  const names = db.prepare<[], { name: string; image: string }>(
    "SELECT name, image FROM image_names ORDER BY name",
  );
  const layers = db.prepare<[], LayerRow>("SELECT chain_id, diff_id, directory, size FROM layers");
  const insertImage = db.prepare("INSERT OR IGNORE INTO images (id, config, size) VALUES (?, ?, ?)");
  const deleteImage = db.prepare("DELETE FROM images WHERE id = ?");
  const setName = db.prepare("INSERT OR REPLACE INTO image_names (name, image) VALUES (?, ?)");
  const deleteName = db.prepare("DELETE FROM image_names WHERE name = ?");
  const insertLayer = db.prepare(
    "INSERT INTO layers (chain_id, diff_id, directory, size) VALUES (?, ?, ?, ?)",
  );
  const deleteLayer = db.prepare("DELETE FROM layers WHERE chain_id = ?");
  return {
    images: () => images.all().map((row): StoredImage => ({ ...row, config: JSON.parse(row.config) })),
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
    insertImage: ({ id, config, size }) => {
      insertImage.run(id, JSON.stringify(config), size);
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
  };
}
