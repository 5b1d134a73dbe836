// Shapes of running containers: changed live, shown with the kernel's own figures, and their ifbs swept up.
import {
  findLink,
  KernelError,
  linksOfKind,
  readTraffic,
  removeLink,
  requestLater,
  type TrafficState,
  traffic,
} from "@tsd/kernel-bindings";
import {
  isShaped,
  rootMessages,
  type Shape,
  type ShapeDirection,
  type Shaper,
} from "../../runtime/network/shape.ts";
import { EngineError } from "../errors.ts";
import { type Member, type Membership, type Memberships, newShaper } from "./memberships.ts";
import type { EndpointState } from "./record.ts";

const ENOENT = 2;
const EINVAL = 22;
const OURS = /^ifb[0-9a-f]{11}$/;

/** Sends messages one after the other, on the thread pool. */
async function send(messages: readonly Buffer[], about: string): Promise<void> {
  for (const bytes of messages) await requestLater(bytes, about);
}

/** Takes a qdisc away, if there is one. */
async function clear(index: number, ingress: boolean): Promise<void> {
  try {
    await requestLater(traffic.deleteQdisc(index, ingress), `qdisc of ${index}`);
  } catch (error) {
    if (!(error instanceof KernelError) || ![ENOENT, EINVAL].includes(error.errno)) throw error;
  }
}

/** Whether a bucket of tokens can take another's place without anything being lost. */
const isPlain = (direction: ShapeDirection): boolean => isShaped(direction) && direction.classes.length === 0;

async function changeRoot(index: number, before: ShapeDirection, after: ShapeDirection): Promise<void> {
  if (!(isPlain(before) && isPlain(after))) await clear(index, false);
  if (isShaped(after)) await send(rootMessages(index, after), `shape of ${index}`);
}

/** Changes what a container sends: without an ifb, with a new one, or by the root of the one it has. */
async function changeOut(
  hostIndex: number,
  from: Shape,
  to: Shape,
  old: Shaper | undefined,
  now: Shaper | undefined,
): Promise<void> {
  if (old && now) return changeRoot(now.index, from.out, to.out);
  if (old) {
    await clear(hostIndex, true);
    await removeLink(old.name);
  }
  if (now)
    await send(
      [
        traffic.createIfb(now),
        ...rootMessages(now.index, to.out),
        traffic.ingressQdisc(hostIndex),
        traffic.redirectIngress(hostIndex, now.index),
      ],
      `ifb ${now.name}`,
    );
}

/** Lets a running container be shaped as `after` says, all of it or as before. `record` keeps its endpoints, before the
 * kernel hears of what is new in them: what is not written down would be swept. */
export async function reshape(
  memberships: Memberships,
  before: Member,
  after: Member,
  membership: Membership,
  record: (endpoints: Record<string, EndpointState>) => void,
): Promise<void> {
  let endpoints = membership.endpoints;
  const wanted = new Map(memberships.places(after, membership).map(({ name, shape }) => [name, shape]));
  const done: { name: string; to: Shape; from: Shape }[] = [];
  const apply = async (name: string, from: Shape, to: Shape): Promise<void> => {
    const endpoint = endpoints[name];
    if (!endpoint?.hostIndex) return;
    const old = endpoint.shaper;
    const shaper = isShaped(to.out) ? (old ?? newShaper(after.id)) : undefined;
    if (shaper && !old) endpoints = { ...endpoints, [name]: { ...endpoint, shaper } };
    record(endpoints);
    await changeRoot(endpoint.hostIndex, from.in, to.in);
    await changeOut(endpoint.hostIndex, from, to, old, shaper);
    endpoints = { ...endpoints, [name]: { ...endpoint, shaper } };
    record(endpoints);
  };
  try {
    for (const { name, shape } of memberships.places(before, membership)) {
      const to = wanted.get(name) ?? shape;
      done.push({ name, to, from: shape });
      await apply(name, shape, to);
    }
    memberships.limitFloods(after, { ...membership, endpoints });
  } catch (error) {
    for (const { name, to, from } of done.reverse()) await apply(name, to, from);
    if (!(error instanceof KernelError)) throw error;
    throw new EngineError(
      "system",
      `the traffic of container ${after.name} can't be shaped so: ${error.message}`,
      { cause: error },
    );
  }
}

/** Removes ifbs that are nobody's: those of a daemon that did not live to do it. */
export async function sweepShapers(known: ReadonlySet<string>): Promise<void> {
  for (const name of linksOfKind("ifb")) if (OURS.test(name) && !known.has(name)) await removeLink(name);
}

interface ClassView extends TrafficState {
  name: string;
}

const classNumber = (position: number): string => `1:${(0x10 + position).toString(16)}`;

/** What was asked of one direction, and what the kernel has and counts. */
function directionView(direction: ShapeDirection, index: number | undefined): object {
  const state = index === undefined ? undefined : readTraffic(index);
  const [root] = state?.qdiscs.filter(({ kind }) => kind === "tbf" || kind === "htb") ?? [];
  const names = new Map(direction.classes.map(({ name }, position) => [classNumber(position), name]));
  const classes = (state?.classes ?? [])
    .filter(({ kind, handle }) => kind === "htb" && handle !== "1:1")
    .map((one): ClassView => ({ name: names.get(one.handle) ?? "(the rest)", ...one }));
  return { Asked: direction, Kernel: root ?? null, Classes: classes };
}

/** Each interface of a running container with how it is shaped. */
export function shapeView(memberships: Memberships, member: Member, membership: Membership): object[] {
  return memberships
    .places(member, membership)
    .filter(({ endpoint }) => endpoint.hostIndex > 0 && findLink(endpoint.hostName))
    .map(({ name, endpoint, shape }) => ({
      Network: name,
      Interface: endpoint.interface,
      HostInterface: endpoint.hostName,
      In: directionView(shape.in, endpoint.hostIndex),
      Out: directionView(shape.out, endpoint.shaper?.index),
    }));
}
