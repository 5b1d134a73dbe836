// How containers are isolated: explained, verified, and shown.
import type { Runtime } from "../../runtime/runtime.ts";
import type { ContainerService } from "../containers/service.ts";
import { Explanations } from "./explain.ts";

export interface IsolationParts {
  containers: ContainerService;
  runtime: Runtime;
}

export class IsolationService {
  readonly explanations: Explanations;

  constructor({ containers, runtime }: IsolationParts) {
    this.explanations = new Explanations(containers, runtime);
  }
}
