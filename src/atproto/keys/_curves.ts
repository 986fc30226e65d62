import type { Curve } from "./_curve.ts";
import { loadK256Native } from "./_k256_native.ts";
import { k256Noble } from "./_k256_noble.ts";
import { p256Native } from "./_p256.ts";

/** The implementation of each curve on this machine. */
export const CURVES: Readonly<Record<"k256" | "p256", Curve>> = {
  k256: loadK256Native() ?? k256Noble,
  p256: p256Native,
};
