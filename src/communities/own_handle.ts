import { type DidDocument, handleOf } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";

/**
 * The handle of a DID document, where it leads back to the DID; undefined also where nobody can say. A document may name any: an
 * invite to somebody's handle would be believed. In dev mode one that leads nowhere is taken: nobody resolves the names of other
 * servers under .test.
 */
export async function ownHandleOf(
  document: DidDocument,
  { did, didOf, devMode }: { did: string; didOf: (handle: string) => Promise<string>; devMode: boolean },
): Promise<string | undefined> {
  const handle = handleOf(document);
  if (handle === undefined) return undefined;
  try {
    return (await didOf(handle)) === did ? handle : undefined;
  } catch (error) {
    if (!isKithError(error)) throw error;
    return devMode && isKithError(error, "handle_not_found") ? handle : undefined;
  }
}
