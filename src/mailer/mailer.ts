/** One message to one recipient. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html?: string;
  /** Goes out through the moderators' own server, where there is one. */
  readonly via?: "moderation";
}

export interface Mailer {
  /** Resolves when the message is handed over. Throws `upstream_failure`, and `invalid_request` on a header that no mail may have. */
  send(mail: Mail): Promise<void>;
}
