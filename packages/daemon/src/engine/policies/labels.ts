// What policies know a container by.
import type { Container } from "../containers/registry.ts";
import { NAME_LABEL } from "./selector.ts";

/** A container's labels, and its name among them. */
export const labelsOf = ({ name, record }: Container): Record<string, string> => ({
  ...record.definition.config.Labels,
  [NAME_LABEL]: name,
});
