// What may be done about a container where something happens that should not (HostConfig.Defence, --defence), from nothing to most.
export const reactions = ["off", "report", "pause", "kill"] as const;
export type Reaction = (typeof reactions)[number];
