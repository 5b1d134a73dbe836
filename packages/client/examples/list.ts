// Lists all containers.
import { TsdClient } from "@tsd/client";

const client = TsdClient.fromEnvironment();

for (const { Id, Image, State, Names } of await client.containers.list({ all: true }))
  console.log(Id.slice(0, 12), Image, State, Names.join(","));
