/** The methods of com.atproto.repo of this server, called for a community that has its account here. */
import type { LocalRepoCalls } from "../../../communities/mod.ts";
import { OWN_ADDRESS } from "../../client_ip.ts";
import type { Call, Method } from "../../method.ts";

const UPLOAD = "com.atproto.repo.uploadBlob";

/** Without a request of the network: who may make the call has been decided. */
export function localRepoCalls(methods: readonly Method[]): LocalRepoCalls {
  const byNsid = new Map(methods.map((method) => [method.nsid, method]));
  const answer = async (nsid: string, call: Pick<Call, "input" | "body" | "principal" | "request">) => {
    const method = byNsid.get(nsid);
    if (!method) throw new TypeError(`There is no method ${nsid}`);
    const rest = { params: {}, requestId: "own", ip: OWN_ADDRESS, headers: new Headers() };
    return await method.handler({ ...call, ...rest });
  };
  return {
    call: (did, { nsid, input }) =>
      answer(nsid, {
        input: { ...input, repo: did },
        body: null,
        principal: principalOf(did),
        request: requestOf(nsid, {}),
      }),
    upload: (did, { type, body, bytes }) =>
      answer(UPLOAD, {
        input: undefined,
        body: body instanceof ReadableStream ? body : new Blob([body]).stream(),
        principal: principalOf(did),
        request: requestOf(UPLOAD, {
          "content-type": type,
          ...(bytes === undefined ? {} : { "content-length": String(bytes) }),
        }),
      }),
  };
}

function principalOf(did: string): Call["principal"] {
  return { kind: "user", did, scope: "com.atproto.access" };
}

function requestOf(nsid: string, headers: Readonly<Record<string, string>>): Request {
  return new Request(`http://localhost/xrpc/${nsid}`, { method: "POST", headers });
}
