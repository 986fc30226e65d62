import { VERSION } from "../config/mod.ts";
import { type Command, EXIT_OK } from "./command.ts";

/** `kith version` */
export const versionCommand: Command = {
  name: "version",
  summary: "print the version",
  options: [],
  operands: [],
  run: async (_, { io }) => {
    io.out(`kith ${VERSION}\n`);
    return EXIT_OK;
  },
};
