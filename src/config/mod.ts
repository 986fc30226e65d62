/** Settings: one table, from which the configuration, its printout and examples/kith.env are made. */
export * from "./admin_socket.ts";
export * from "./config.ts";
export * from "./env_file.ts";
export * from "./load.ts";
export * from "./nearest.ts";
export * from "./print.ts";
export * from "./reference_settings.ts";
export * from "./secrets.ts";
export * from "./settings.ts";
export * from "./version.ts";
