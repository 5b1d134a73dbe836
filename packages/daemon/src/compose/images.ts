// Wires what keeps images, and gets them.
import { join } from "node:path";
import type { Archiver } from "@tsd/kernel-bindings";
import type { Settings } from "../configuration/settings.ts";
import { BlobDirectory } from "../content/blobs.ts";
import { LayerDirectory } from "../content/layers.ts";
import type { EventBus } from "../engine/events/bus.ts";
import { ImageCatalog } from "../engine/images/catalog.ts";
import { readKeys } from "../engine/images/decryption.ts";
import { Layers } from "../engine/images/layers.ts";
import { Manifests } from "../engine/images/manifests.ts";
import { Pulls } from "../engine/images/pull.ts";
import { ImageService } from "../engine/images/service.ts";
import { LayerTransfers } from "../engine/images/transfers.ts";
import type { ImagePolicy } from "../engine/trust/policy.ts";
import { ImageTrust } from "../engine/trust/service.ts";
import { Registries } from "../registry/registries.ts";
import type { openDatabase } from "../state/database.ts";
import { imageStore, layerStore } from "../state/images.ts";

export interface ImageParts {
  db: ReturnType<typeof openDatabase>;
  settings: Settings;
  imagePolicy: ImagePolicy | undefined;
  archiver: Archiver;
  events: EventBus;
  report: (problem: unknown, what: string) => void;
}

/** Images: what is kept of them, and the ways from and to registries. */
export function composeImages({ db, settings, imagePolicy, archiver, events, report }: ImageParts) {
  const { dataRoot } = settings;
  const layerDirectory = new LayerDirectory(join(dataRoot, "layers"), archiver, settings.maximumLayerSize);
  const imageLayers = new Layers({
    store: layerStore(db),
    directory: layerDirectory,
    blobs: new BlobDirectory(join(dataRoot, "blobs")),
    report,
  });
  const catalog = new ImageCatalog({ store: imageStore(db), layers: imageLayers, events });
  const trust = new ImageTrust(catalog, imagePolicy);
  const images = new ImageService(catalog, trust);
  const registries = new Registries(settings.registries);
  const pulls = new Pulls({
    catalog,
    registries,
    transfers: new LayerTransfers(imageLayers, () => registries.settings),
    trust,
    decryptionKeys: () => readKeys(settings.imageKeyDirectory),
  });
  const manifests = new Manifests(catalog);
  return { layerDirectory, catalog, trust, images, registries, pulls, manifests };
}
