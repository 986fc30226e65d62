/** Opens one repo file and closes it: an older schema is migrated meanwhile. Arguments: repos folder, DID. */
import { Maintenance, RepoFiles } from "../../src/storage/mod.ts";

const [folder = "", did = ""] = process.argv.slice(2);
const onFatal = (error: unknown): never => {
  console.error(error);
  process.exit(1);
};
const maintenance = Maintenance.start({ onFatal });
const files = new RepoFiles({ folder, maintenance, onFatal });
const store = await files.recover(did, 1);
await store.close();
await maintenance.stop();
