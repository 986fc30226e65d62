/** The PLC directory as its authors wrote it, over a store in memory; prints its URL. A process of its own. */
import { Database, PlcServer } from "@did-plc/server";

const directory = PlcServer.create({ db: Database.mock(), port: Number(process.env.PLC_PORT ?? 0) });
const listener = await directory.start();
const address = listener.address();
if (address === null || typeof address === "string") throw new Error("The PLC directory has no port");
console.log(`\nPLC http://localhost:${address.port}\n`);
