/** An invite code, as the storage has it. */
export interface InviteSource {
  readonly code: string;
  readonly uses: number;
  readonly disabled: boolean;
  readonly forAccount: string;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly usedBy: readonly { readonly did: string; readonly at: number }[];
}

/** com.atproto.server.defs#inviteCode. */
export function inviteView(source: InviteSource): Readonly<Record<string, unknown>> {
  const { code, uses, disabled, forAccount, createdBy, createdAt, usedBy } = source;
  return {
    code,
    available: uses,
    disabled,
    forAccount,
    createdBy,
    createdAt: new Date(createdAt).toISOString(),
    uses: usedBy.map(({ did, at }) => ({ usedBy: did, usedAt: new Date(at).toISOString() })),
  };
}
