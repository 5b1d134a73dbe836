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
  changeMessages,
  classHandle,
  classNumber,
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

/** `before` is undefined where it is not known how far a change came. */
async function changeRoot(
  index: number,
  before: ShapeDirection | undefined,
  after: ShapeDirection,
): Promise<void> {
  const about = `shape of link ${index}`;
  const changes = before && changeMessages(index, before, after);
  if (changes) return send(changes, about);
  if (!before || !(isPlain(before) && isPlain(after))) await clear(index, false);
  if (isShaped(after)) await send(rootMessages(index, after), about);
}

/** Changes what a container sends: without an ifb, with a new one, or by the root of the one it has. */
async function changeOut(
  hostIndex: number,
  from: ShapeDirection | undefined,
  to: ShapeDirection,
  old: Shaper | undefined,
  now: Shaper | undefined,
): Promise<void> {
  if (old && now) return changeRoot(now.index, from, to);
  if (old) {
    await clear(hostIndex, true);
    await removeLink(old.name);
  }
  if (now)
    await send(
      [
        traffic.createIfb(now),
        ...rootMessages(now.index, to),
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
  const done: { name: string; from: Shape }[] = [];
  const apply = async (name: string, from: Shape | undefined, to: Shape): Promise<void> => {
    const endpoint = endpoints[name];
    if (!endpoint?.hostIndex) return;
    const old = endpoint.shaper;
    const shaper = isShaped(to.out) ? (old ?? newShaper(after.id)) : undefined;
    if (shaper && !old) endpoints = { ...endpoints, [name]: { ...endpoint, shaper } };
    record(endpoints);
    await changeRoot(endpoint.hostIndex, from?.in, to.in);
    await changeOut(endpoint.hostIndex, from?.out, to.out, old, shaper);
    endpoints = { ...endpoints, [name]: { ...endpoint, shaper } };
    record(endpoints);
  };
  try {
    for (const { name, shape } of memberships.places(before, membership)) {
      const to = wanted.get(name) ?? shape;
      done.push({ name, from: shape });
      await apply(name, shape, to);
    }
    memberships.limitFloods(after, { ...membership, endpoints });
  } catch (error) {
    for (const { name, from } of done.reverse()) await apply(name, undefined, from);
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

type FloodCounts = { packets?: number; connections?: number };

interface ClassView extends TrafficState {
  name: string;
}

/** What was asked of one direction, and what the kernel has and counts. */
function directionView(direction: ShapeDirection, index: number | undefined, dropped: FloodCounts): object {
  const state = index === undefined ? undefined : readTraffic(index);
  const [root] = state?.qdiscs.filter(({ kind }) => kind === "tbf" || kind === "htb") ?? [];
  const names = new Map(
    direction.classes.map(({ name }, position) => [classHandle(classNumber(position)), name]),
  );
  const classes = (state?.classes ?? [])
    .filter(({ kind, handle }) => kind === "htb" && handle !== "1:1")
    .map((one): ClassView => ({ name: names.get(one.handle) ?? "(the rest)", ...one }));
  return { Asked: direction, Kernel: root ?? null, Classes: classes, Dropped: dropped };
}

/** Each interface of a running container with how it is shaped. */
export function shapeView(memberships: Memberships, member: Member, membership: Membership): object[] {
  return memberships
    .places(member, membership)
    .filter(({ endpoint }) => endpoint.hostIndex > 0 && findLink(endpoint.hostName))
    .map((place) => {
      const { name, endpoint, shape } = place;
      const dropped = memberships.floodCounts(place);
      return {
        Network: name,
        Interface: endpoint.interface,
        HostInterface: endpoint.hostName,
        In: directionView(shape.in, endpoint.hostIndex, dropped.in),
        Out: directionView(shape.out, endpoint.shaper?.index, dropped.out),
      };
    });
}
