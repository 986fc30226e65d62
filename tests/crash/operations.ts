/** What a crash is tried in: each operation can be begun, and be asked afterwards whether it was done, wholly or not at all. */
import {
  type Account,
  createAccount,
  createRecord,
  newPicture,
  PASSWORD,
  post,
  repoCar,
  xrpc,
} from "../client.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import type { Scene } from "./scene.ts";
import { signUp } from "./workload.ts";

export interface Turn {
  /** Begins it; the status of the answer, if one comes. */
  act(): Promise<number>;
  /** Throws where it was done by halves. */
  isDone(): Promise<boolean>;
}

export interface Operation {
  readonly name: string;
  prepare(scene: Scene): Promise<Turn>;
}

const COLLECTION = "dev.kith.test.steps";
const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
const CAR = { "content-type": "application/vnd.ipld.car" };
const BLOB_BYTES = 70_000;
const LARGE_TEXT = 20_000;
const LARGE_WRITES = 40;
const LARGE_COMMITS = 7;
let names = 0;

function nextName(prefix: string): string {
  names += 1;
  return `${prefix}${names}`;
}

function ownerOf(scene: Scene): Account {
  return scene.writers[0]!.account;
}

/** A fresh session: the one of before may have died with its account's password, or have been told to nobody. */
async function call(scene: Scene, nsid: string, options: Parameters<typeof xrpc>[2] & { by?: Account } = {}) {
  const { by = ownerOf(scene), ...rest } = options;
  return xrpc(scene.url, nsid, { token: by.accessJwt, alone: true, ...rest });
}

async function hasRecord(scene: Scene, rkey: string): Promise<boolean> {
  const params = { repo: ownerOf(scene).did, collection: COLLECTION, rkey };
  return (await xrpc(scene.url, "com.atproto.repo.getRecord", { params })).status === 200;
}

/** Throws where some are there and some are not. */
async function allOrNone(scene: Scene, rkeys: readonly string[]): Promise<boolean> {
  const found = await Promise.all(rkeys.map((rkey) => hasRecord(scene, rkey)));
  if (new Set(found).size > 1)
    throw new Error(`Of ${rkeys.join(" ")} only some are there: ${found.join(" ")}`);
  return found[0] === true;
}

function applyCreates(scene: Scene, rkeys: readonly string[], text: string): Promise<{ status: number }> {
  const writes = rkeys.map((rkey) => ({
    $type: "com.atproto.repo.applyWrites#create",
    collection: COLLECTION,
    rkey,
    value: { $type: COLLECTION, text: `${rkey} ${text}` },
  }));
  return call(scene, "com.atproto.repo.applyWrites", { body: { repo: ownerOf(scene).did, writes } });
}

async function upload(scene: Scene): Promise<{ status: number; blob: unknown; bytes: Uint8Array }> {
  const bytes = newPicture(BLOB_BYTES);
  const headers = { "content-type": "image/png" };
  const { status, json } = await call(scene, "com.atproto.repo.uploadBlob", { body: bytes, headers });
  return { status, blob: json.blob, bytes };
}

function withBlob(blob: unknown): Record<string, unknown> {
  return post("a picture", { embed: { $type: "app.bsky.embed.images", images: [{ image: blob, alt: "" }] } });
}

async function isServed(scene: Scene, blob: unknown, bytes: Uint8Array): Promise<boolean> {
  const cid = (blob as { ref: { $link: string } }).ref.$link;
  const answer = await xrpc(scene.url, "com.atproto.sync.getBlob", {
    params: { did: ownerOf(scene).did, cid },
  });
  if (answer.status === 200 && Buffer.compare(answer.bytes, bytes) !== 0)
    throw new Error(`${cid} has other bytes`);
  return answer.status === 200;
}

async function isActive(scene: Scene, did: string): Promise<boolean | undefined> {
  const answer = await xrpc(scene.url, "com.atproto.sync.getRepoStatus", { params: { did } });
  return answer.status === 200 ? (answer.json.active as boolean) : undefined;
}

const create: Operation = {
  name: "createRecord",
  async prepare(scene) {
    const rkey = nextName("one");
    const body = {
      repo: ownerOf(scene).did,
      collection: COLLECTION,
      rkey,
      record: { $type: COLLECTION, rkey },
    };
    return {
      act: async () => (await call(scene, "com.atproto.repo.createRecord", { body })).status,
      isDone: () => hasRecord(scene, rkey),
    };
  },
};

const applyWrites: Operation = {
  name: "applyWrites",
  async prepare(scene) {
    const rkeys = Array.from({ length: 20 }, () => nextName("many"));
    return {
      act: async () => (await applyCreates(scene, rkeys, "few")).status,
      isDone: () => allOrNone(scene, rkeys),
    };
  },
};

/** Enough bytes for the write-ahead logs of the repo and of the event log to be written back. */
const checkpoint: Operation = {
  name: "writes that lead to a checkpoint",
  async prepare(scene) {
    const commits = Array.from({ length: LARGE_COMMITS }, () =>
      Array.from({ length: LARGE_WRITES }, () => nextName("large")),
    );
    let answered = 0;
    return {
      act: async () => {
        for (const rkeys of commits) {
          const { status } = await applyCreates(scene, rkeys, "x".repeat(LARGE_TEXT));
          if (status !== 200) return status;
          answered += 1;
        }
        return 200;
      },
      isDone: async () => {
        const done = await Promise.all(commits.map((rkeys) => allOrNone(scene, rkeys)));
        if (!done.slice(0, answered).every(Boolean))
          throw new Error(`Of ${answered} answered: ${done.join(" ")}`);
        const rkeys = commits.flat();
        for (const rkey of rkeys) {
          const body = { repo: ownerOf(scene).did, collection: COLLECTION, rkey };
          await call(scene, "com.atproto.repo.deleteRecord", { body });
        }
        return done.every(Boolean);
      },
    };
  },
};

const uploadBlob: Operation = {
  name: "uploadBlob",
  async prepare(scene) {
    let sent: Awaited<ReturnType<typeof upload>> | undefined;
    return {
      act: async () => {
        sent = await upload(scene);
        return sent.status;
      },
      isDone: async () => {
        if (!sent?.blob) return false;
        await createRecord(scene.url, ownerOf(scene), { record: withBlob(sent.blob) });
        return isServed(scene, sent.blob, sent.bytes);
      },
    };
  },
};

const dropBlob: Operation = {
  name: "deleteRecord of the last record with a blob",
  async prepare(scene) {
    const { blob, bytes } = await upload(scene);
    const { uri } = await createRecord(scene.url, ownerOf(scene), { record: withBlob(blob) });
    const [did, collection, rkey] = uri.slice("at://".length).split("/");
    return {
      act: async () =>
        (await call(scene, "com.atproto.repo.deleteRecord", { body: { repo: did, collection, rkey } }))
          .status,
      isDone: async () => {
        const params = { repo: did, collection, rkey };
        const isThere = (await xrpc(scene.url, "com.atproto.repo.getRecord", { params })).status === 200;
        if (isThere !== (await isServed(scene, blob, bytes)))
          throw new Error("The record and its blob differ");
        return !isThere;
      },
    };
  },
};

const signUpOperation: Operation = {
  name: "createAccount",
  async prepare(scene) {
    const name = nextName("steps");
    const signup = { handle: `${name}.test`, email: `${name}@example.com` };
    let answered: string | undefined;
    return {
      act: async () => {
        const { status, json } = await signUp(scene.url, signup);
        if (status === 200) answered = String(json.did);
        return status;
      },
      isDone: async () => {
        const did = await scene.judgeSignup(signup);
        if (answered !== undefined && did !== answered)
          throw new Error(`"${name}" is ${did}, not ${answered}`);
        return true;
      },
    };
  },
};

const deactivate: Operation = {
  name: "deactivateAccount and activateAccount",
  async prepare(scene) {
    const by = await createAccount(scene.url, nextName("resting"), scene.plc);
    return {
      act: async () => {
        const off = await call(scene, "com.atproto.server.deactivateAccount", { by, body: {} });
        if (off.status !== 200) return off.status;
        return (await call(scene, "com.atproto.server.activateAccount", { by, method: "POST" })).status;
      },
      isDone: async () => {
        const wasActive = await isActive(scene, by.did);
        if (!wasActive) await call(scene, "com.atproto.server.activateAccount", { by, method: "POST" });
        await scene.judgeRepo(by.did);
        return wasActive === true;
      },
    };
  },
};

const updateHandle: Operation = {
  name: "updateHandle",
  async prepare(scene) {
    const handle = `${nextName("handle")}.test`;
    const { did } = ownerOf(scene);
    return {
      act: async () => (await call(scene, "com.atproto.identity.updateHandle", { body: { handle } })).status,
      isDone: async () => {
        const found = await xrpc(scene.url, "com.atproto.identity.resolveHandle", { params: { handle } });
        const described = await xrpc(scene.url, "com.atproto.repo.describeRepo", { params: { repo: did } });
        const isNew = described.json.handle === handle;
        if (isNew !== (found.status === 200)) throw new Error(`"${handle}" is new in one place only`);
        return isNew;
      },
    };
  },
};

const importRepo: Operation = {
  name: "importRepo",
  async prepare(scene) {
    const by = await createAccount(scene.url, nextName("moving"), scene.plc);
    for (let i = 0; i < 30; i += 1) await createRecord(scene.url, by, { record: post(`number ${i}`) });
    const car = await repoCar(scene.url, by.did);
    const { records: before } = await judgeRepo(car, by.did, by.didKey);
    await createRecord(scene.url, by, { record: post("which the import takes away") });
    return {
      act: async () =>
        (await call(scene, "com.atproto.repo.importRepo", { by, body: car, headers: CAR })).status,
      isDone: async () => {
        const { records } = await judgeRepo(await repoCar(scene.url, by.did), by.did, by.didKey);
        const kept = [...before].every(([path, cid]) => records.get(path) === cid);
        if (!kept || records.size > before.size + 1)
          throw new Error("The repo is neither the old nor the new");
        return records.size === before.size;
      },
    };
  },
};

const deleteAccount: Operation = {
  name: "deleteAccount",
  async prepare(scene) {
    const account = await createAccount(scene.url, nextName("gone"), scene.plc);
    const { did } = account;
    const login = { identifier: account.handle, password: PASSWORD };
    return {
      act: async () =>
        (
          await call(scene, "com.atproto.admin.deleteAccount", {
            headers: ADMIN,
            body: { did },
            token: undefined,
          })
        ).status,
      isDone: async () => {
        const isGone = (await isActive(scene, did)) !== true;
        const session = await xrpc(scene.url, "com.atproto.server.createSession", { body: login });
        if (isGone === (session.status === 200)) throw new Error(`"${did}" is gone in one place only`);
        return isGone;
      },
    };
  },
};

export const OPERATIONS: readonly Operation[] = [
  create,
  applyWrites,
  checkpoint,
  uploadBlob,
  dropBlob,
  signUpOperation,
  deactivate,
  updateHandle,
  importRepo,
  deleteAccount,
];
