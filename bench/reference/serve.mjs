/**
 * The reference PDS as its authors publish it, in a process of its own under the Node that it wants: settings come from the
 * environment, as in its distribution. Prints `REFERENCE <url>` once it answers. Started by tests/reference.ts.
 */
import { envToCfg, envToSecrets, PDS, readEnv } from "@atproto/pds";

const env = readEnv();
const config = envToCfg(env);
const pds = await PDS.create(config, envToSecrets(env));
await pds.start();
console.log(`\nREFERENCE ${config.service.publicUrl}\n`);
process.on("SIGTERM", () => pds.destroy().then(() => process.exit(0)));
