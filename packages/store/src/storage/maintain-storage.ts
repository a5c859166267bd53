import type { Database } from "../database.ts";

/**
 * Makes the storage what the saved settings say: policies and chunk intervals on TimescaleDB, daily partitions on
 * plain PostgreSQL. Harmless to repeat; see `saveStorageSettings`.
 * @throws the driver's error where the database is away or a lock was not to be had
 */
export async function maintainStorage(database: Database): Promise<void> {
  await database`SELECT timespan.maintain_storage()`;
}
