// Who may talk to whom, as text, as DOT (graphviz) and as a picture (SVG).
import type { PolicyGraph } from "../sdk/policies.ts";

export function graphText({ Nodes, Edges }: PolicyGraph): string {
  const lines = Nodes.flatMap((node) => {
    const own = Edges.filter(({ From }) => From === node);
    const last = own.length - 1;
    return [
      node,
      ...own.map(
        ({ To, Traffic }, index) => `${index === last ? "└─" : "├─"} ${Traffic.join(", ")} ─▶ ${To}`,
      ),
    ];
  });
  return lines.join("\n");
}

export function graphDot({ Network, Nodes, Edges }: PolicyGraph): string {
  const quoted = JSON.stringify;
  return [
    `digraph ${quoted(Network)} {`,
    "  rankdir=LR;",
    "  node [shape=box];",
    ...Nodes.map((node) => `  ${quoted(node)};`),
    ...Edges.map(
      ({ From, To, Traffic }) => `  ${quoted(From)} -> ${quoted(To)} [label=${quoted(Traffic.join("\n"))}];`,
    ),
    "}",
  ].join("\n");
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

interface Point {
  x: number;
  y: number;
}

const BOX = { width: 140, height: 36 };

/** Boxes on a circle, an arrow for each pair that may talk. */
export function graphSvg({ Network, Nodes, Edges }: PolicyGraph): string {
  const radius = Math.max(160, (Nodes.length * (BOX.width + 30)) / (2 * Math.PI));
  const center = radius + BOX.width;
  const place = (index: number): Point => {
    const angle = (2 * Math.PI * index) / Math.max(1, Nodes.length) - Math.PI / 2;
    return { x: center + radius * Math.cos(angle), y: center + radius * Math.sin(angle) };
  };
  const places = new Map(Nodes.map((node, index) => [node, place(index)]));
  const boxes = Nodes.map((node) => {
    const { x, y } = places.get(node) as Point;
    return `<rect x="${(x - BOX.width / 2).toFixed(1)}" y="${(y - BOX.height / 2).toFixed(1)}" width="${BOX.width}" height="${BOX.height}" rx="6" fill="#eef4fb" stroke="#27517f"/><text x="${x.toFixed(1)}" y="${(y + 5).toFixed(1)}" text-anchor="middle">${escaped(node)}</text>`;
  });
  const arrows = Edges.flatMap(({ From, To, Traffic }) => {
    const [from, to] = [places.get(From), places.get(To)];
    if (!from || !to) return [];
    const [start, end] = [edgeOfBox(from, to), edgeOfBox(to, from)];
    // Nearer to where it begins, so that the two directions of a pair do not cover each other.
    const label = { x: start.x + (end.x - start.x) * 0.35, y: start.y + (end.y - start.y) * 0.35 };
    return [
      `<line x1="${start.x.toFixed(1)}" y1="${start.y.toFixed(1)}" x2="${end.x.toFixed(1)}" y2="${end.y.toFixed(1)}" stroke="#555" marker-end="url(#arrow)"/><text x="${label.x.toFixed(1)}" y="${(label.y - 4).toFixed(1)}" font-size="11" text-anchor="middle" fill="#8a3d00">${escaped(Traffic.join(", "))}</text>`,
    ];
  });
  const size = 2 * center;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.toFixed(0)}" height="${size.toFixed(0)}" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(`Who may talk to whom in ${Network}`)}</title>`,
    '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#555"/></marker></defs>',
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...arrows,
    ...boxes,
    "</svg>",
  ].join("\n");
}

/** Where the line from the middle of one box to another's leaves the first. */
function edgeOfBox(from: Point, to: Point): Point {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const scale = Math.min(
    BOX.width / 2 / Math.max(1e-9, Math.abs(dx)),
    BOX.height / 2 / Math.max(1e-9, Math.abs(dy)),
  );
  return { x: from.x + dx * scale, y: from.y + dy * scale };
}
