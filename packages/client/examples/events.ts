// Follows what happens to containers, until one of them dies.
import { TsdClient } from "@tsd/client";

const client = TsdClient.fromEnvironment();

for await (const event of client.events({ filters: JSON.stringify({ type: ["container"] }) })) {
  console.log(new Date(event.time * 1000).toISOString(), event.Action, event.Actor.Attributes.name);
  // Leaving the loop closes the connection.
  if (event.Action === "die") break;
}
