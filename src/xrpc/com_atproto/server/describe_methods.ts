/** com.atproto.server.describeServer: what this server asks of whoever wants an account. */
import { ComAtprotoServerDescribeServer } from "@atcute/atproto";
import { type Method, method } from "../../method.ts";

export interface ServerDescription {
  /** The service DID. */
  readonly did: string;
  /** Each with its leading dot. */
  readonly availableUserDomains: readonly string[];
  readonly inviteCodeRequired: boolean;
  readonly blobBytesMax: number;
  readonly privacyPolicyUrl?: string | undefined;
  readonly termsOfServiceUrl?: string | undefined;
  readonly contactEmail?: string | undefined;
}

/** describeServer. Links and contact hold only what is set: clients show whatever they find. */
export function describeMethods(description: ServerDescription): Method[] {
  const answer = {
    did: description.did,
    availableUserDomains: description.availableUserDomains,
    inviteCodeRequired: description.inviteCodeRequired,
    blobUploadLimit: description.blobBytesMax,
    links: { privacyPolicy: description.privacyPolicyUrl, termsOfService: description.termsOfServiceUrl },
    contact: { email: description.contactEmail },
  };
  return [method(ComAtprotoServerDescribeServer.mainSchema, { auth: "none", handler: () => answer })];
}
