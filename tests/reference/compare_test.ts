/** What the oracle takes for the same on both servers, of the kinds of text that chance makes. */
import { expect, test } from "bun:test";
import { Pairing } from "./compare.ts";

const MULTIKEY = "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";

test.each([
  ["in any characters", `-_${"x0".repeat(42)}`],
  ["like a multikey", `z${"A1b2".repeat(21)}c`],
  ["like a multikey, and goes on otherwise", `z${"A1b2".repeat(12)}-${"_O0l".repeat(9)}`],
  ["like a TID", `3jzfcijpj2z2a-${"x".repeat(72)}`],
])("a signature that begins %s stands for any other", (_, signature) => {
  expect(signature).toHaveLength(86);
  expect(new Pairing().text(`"${"y_".repeat(43)}"`, `"${signature}"`)).toBeUndefined();
});

test("a multikey and a signature are not the same", () => {
  expect(new Pairing().text(`"${MULTIKEY}"`, `"${"y_".repeat(43)}"`)).toBeString();
  expect(new Pairing().text(`"${MULTIKEY}"`, `"${MULTIKEY.replace("Q", "R")}"`)).toBeUndefined();
});
