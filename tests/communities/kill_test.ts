/** The server dies around every transition of communities whose accounts are its own, and of identities alone. */
import { testKills } from "./kill_suite.ts";

testKills(["native", "loopback", "mint"]);
