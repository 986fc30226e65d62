/** A real SMTP server (`smtp-server`) that keeps what it is given, and can refuse as servers do. */
import { SMTPServer } from "smtp-server";
import { takePort } from "./ports.ts";
import { waitFor } from "./wait.ts";

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** The message as it came. */
  readonly text: string;
}

export const SMTP_USER = "kith";
export const SMTP_PASSWORD = "smtp password of the tests";

export class SmtpSink implements AsyncDisposable {
  readonly mails: ReceivedMail[] = [];
  /** The code that recipients are answered with; undefined takes them. */
  refuseWith: number | undefined;
  /** Recipients that were refused. */
  refused = 0;
  readonly port = takePort();
  #server: SMTPServer | undefined;

  /** Listens, on the port of before. */
  async start(): Promise<this> {
    const server = new SMTPServer({
      // On loopback, without a certificate.
      hideSTARTTLS: true,
      allowInsecureAuth: true,
      authMethods: ["PLAIN", "LOGIN"],
      onAuth: (auth, _session, done) => {
        const isRight = auth.username === SMTP_USER && auth.password === SMTP_PASSWORD;
        done(isRight ? null : new Error("wrong password"), { user: SMTP_USER });
      },
      onRcptTo: (_address, _session, done) => {
        if (this.refuseWith === undefined) return done();
        this.refused += 1;
        done(Object.assign(new Error("not now"), { responseCode: this.refuseWith }));
      },
      onData: (stream, { envelope }, done) => {
        const chunks: Uint8Array[] = [];
        stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
        stream.on("end", () => {
          const from = envelope.mailFrom === false ? "" : envelope.mailFrom.address;
          const to = envelope.rcptTo.map(({ address }) => address);
          this.mails.push({ from, to, text: Buffer.concat(chunks).toString() });
          done();
        });
      },
    });
    server.on("error", () => {});
    await new Promise<void>((resolve, reject) => {
      server.server.once("error", reject);
      server.listen(this.port, "127.0.0.1", resolve);
    });
    this.#server = server;
    return this;
  }

  /** The URL of it, with its credentials. */
  get url(): string {
    return `smtp://${SMTP_USER}:${encodeURIComponent(SMTP_PASSWORD)}@127.0.0.1:${this.port}`;
  }

  /** The settings of a server that mails through it. */
  env(from = "kith <noreply@pds.example.com>"): {
    PDS_EMAIL_SMTP_URL: string;
    PDS_EMAIL_FROM_ADDRESS: string;
  } {
    return { PDS_EMAIL_SMTP_URL: this.url, PDS_EMAIL_FROM_ADDRESS: from };
  }

  /** The next mail to an address that has not been read, and the code in it. */
  async codeTo(address: string, subject: RegExp): Promise<string> {
    const mail = await waitFor(`a mail to "${address}" about ${subject}`, () =>
      this.mails.find(({ to, text }) => to.includes(address) && subject.test(text)),
    );
    this.mails.splice(this.mails.indexOf(mail), 1);
    const [code] = /\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/.exec(mail.text) ?? [];
    if (code === undefined) throw new Error(`No code in the mail:\n${mail.text}`);
    return code;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server) await new Promise<void>((resolve) => server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
