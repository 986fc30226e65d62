import type { Curve } from "./_curve.ts";
import { loadK256Native } from "./_k256_native.ts";
import { p256Native } from "./_p256.ts";

let k256: Curve | undefined;

function noble(): Curve {
  return (require("./_k256_noble.ts") as typeof import("./_k256_noble.ts")).k256Noble;
}

/** The implementation of each curve on this machine. The native one takes some milliseconds to load. */
export const CURVES: Readonly<Record<"k256" | "p256", Curve>> = {
  get k256() {
    k256 ??= loadK256Native() ?? noble();
    return k256;
  },
  p256: p256Native,
};
