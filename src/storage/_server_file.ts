/** Opening a file that the server has one of. */
import { existsSync } from "node:fs";
import { SqliteFile, type SqliteFileOptions } from "./_sqlite_file.ts";
import { type Migration, migrate } from "./migrations.ts";

/** Makes the file durable after a crash, brings it to the latest schema, and opens it ready for writes. */
export async function openServerFile(
  path: string,
  { migrations, ...options }: SqliteFileOptions & { migrations: readonly Migration[] },
): Promise<SqliteFile> {
  if (existsSync(path)) await options.maintenance.recover(path);
  await migrate(path, { migrations, maintenance: options.maintenance });
  const file = SqliteFile.open(path, options);
  await file.prepareWrites();
  await file.durable();
  return file;
}
