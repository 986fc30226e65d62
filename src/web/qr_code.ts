import encodeQR from "qr";
import { type Html, html } from "./html.ts";

/** Modules of quiet zone that the standard wants around the code. */
const BORDER = 4;

/** A QR code as a picture, dark on light in either colour scheme: not every camera reads the other way round. */
export function qrCode(text: string, { label }: { label: string }): Html {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: BORDER });
  const path = rows
    .flatMap((row, y) => runs(row).map(([x, width]) => `M${x} ${y}h${width}v1h-${width}z`))
    .join("");
  const size = rows.length;
  return html`<div class="qr"><svg viewBox="0 0 ${size} ${size}" width="208" height="208" role="img" aria-label="${label}" shape-rendering="crispEdges"><rect width="${size}" height="${size}" fill="#fff"/><path d="${path}" fill="#000"/></svg></div>`;
}

/** Stretches of dark modules in a row: where each begins and how long it is. */
function runs(row: readonly boolean[]): [number, number][] {
  const found: [number, number][] = [];
  for (const [x, isDark] of row.entries()) {
    const last = found.at(-1);
    if (!isDark) continue;
    if (last && last[0] + last[1] === x) last[1] += 1;
    else found.push([x, 1]);
  }
  return found;
}
