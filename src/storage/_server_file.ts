/** Opening a file that the server has one of. */
import { SqliteFile, type SqliteFileOptions } from "./_sqlite_file.ts";
import { type Migration, recoverAndMigrate } from "./migrations.ts";

/** Makes the file durable after a crash, brings it to the latest schema, and opens it ready for writes. */
export async function openServerFile(
  path: string,
  { migrations, ...options }: SqliteFileOptions & { migrations: readonly Migration[] },
): Promise<SqliteFile> {
  await recoverAndMigrate(path, { migrations, maintenance: options.maintenance });
  const file = SqliteFile.open(path, options);
  await file.prepareWrites();
  await file.durable();
  return file;
}
