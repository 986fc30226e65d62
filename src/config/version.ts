import manifest from "../../package.json";

/** The version of kith, as package.json has it. */
export const VERSION: string = manifest.version;
