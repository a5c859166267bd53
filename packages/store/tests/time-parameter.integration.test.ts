import { afterAll, beforeAll, expect, test } from "bun:test";
import { TIME_MAX_US } from "@timespan/telemetry/time-range";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { createTestDatabase, openAsSuperuser, type TestDatabase } from "@timespan/testing/test-database";
import { createRandom } from "@timespan/testing/workload/random";
import { closeDatabase, type Database } from "../src/database.ts";
import { timeParameter } from "../src/query/parameters.ts";

let created: TestDatabase;
let database: Database;
beforeAll(async () => {
  created = await createTestDatabase("postgres");
  database = openAsSuperuser(created.url);
});
afterAll(async () => {
  await closeDatabase(database);
  await created.drop();
});

test("a time as a parameter is exact to the microsecond, from 1970 to 2200", async () => {
  const random = createRandom(1, 1);
  const times = [
    0,
    1,
    TIME_MAX_US - 1,
    ...Array.from({ length: 500 }, () => Math.floor(random.next() * TIME_MAX_US)),
  ];
  for (const timeUs of times) {
    const [row] = await database<{ exact: boolean }[]>`
      SELECT ${timeParameter(database, timeUs)} = ${formatTimestamp(timeUs)}::text::timestamptz AS exact`;
    expect({ timeUs, exact: row?.exact }).toEqual({ timeUs, exact: true });
  }
});
