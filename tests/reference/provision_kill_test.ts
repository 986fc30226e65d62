/** The server dies around every transition of communities whose accounts the reference PDS has. */
import { testKills } from "../communities/kill_suite.ts";
import { ReferencePds } from "../reference.ts";

testKills(["remote"], (plc) => ReferencePds.start({ plc }));
