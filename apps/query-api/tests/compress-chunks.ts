import { closeDatabase } from "@timespan/store/database";
import { openAsSuperuser } from "@timespan/testing/test-database";

/** Turns every chunk of a TimescaleDB, of signals and of rollups, into the columnstore, as the policies would later. */
export async function compressChunks(url: string): Promise<void> {
  const superuser = openAsSuperuser(url);
  const hypertables = await superuser<{ name: string }[]>`
    SELECT format('%I.%I', hypertable_schema, hypertable_name) AS name
    FROM timescaledb_information.hypertables
    WHERE compression_enabled`;
  for (const { name } of hypertables) {
    await superuser.unsafe(`SELECT public.compress_chunk(c, true) FROM public.show_chunks('${name}') AS c`);
  }
  await closeDatabase(superuser);
}
